"""Runs of journeys in the control database, loaded and saved with the rest of the reactions' state. Knows no journey's steps.

A run's `state` holds all of it; the other columns serve finding and counting. The column `rule_no` overrides the one in the
state, because applying rules may have moved the run to another version.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert
from headrace.control.tables.journeys import emits, former_runs, journeys, run_counts, runs
from headrace.control.tables.reactions import reaction_progress
from headrace.model.event import Tenant
from headrace.model.journeys import Entries, Run, RunState

_AT_ONCE = 500  # values in one IN list
_run_decoder = msgspec.json.Decoder(Run)


def run_of(row: Any, /) -> Run:
    """The run of a row with `state` and `rule_no`."""
    run = _run_decoder.decode(row.state)
    return run if run.rule_no == row.rule_no else msgspec.structs.replace(run, rule_no=row.rule_no)


def load_runs(
    connection: sa.Connection, tenant: Tenant, people: Mapping[str, int], run_ids: Sequence[str], state: RunState, /
) -> None:
    """Load some people's active runs and entered journeys, and single runs of the tenant. people: number by name."""
    for some in _slices(sorted(people.values())):
        active = sa.select(runs.c.state, runs.c.rule_no).where(
            runs.c.participant_no.in_(some), runs.c.status == "active"
        )
        for row in connection.execute(active):
            run = run_of(row)
            state.runs[run.id] = run
    _load_entries(connection, {number: name for name, number in people.items()}, state)
    own = (runs.c.project == tenant.project, runs.c.mode == tenant.mode)
    for some in _slices(sorted(run_ids)):
        asked = sa.select(runs.c.state, runs.c.rule_no).where(*own, runs.c.id.in_(some))
        for row in connection.execute(asked):
            run = run_of(row)
            state.runs[run.id] = run


def _load_entries(connection: sa.Connection, names: Mapping[int, str], state: RunState) -> None:
    columns = (runs.c.participant_no, runs.c.journey, runs.c.rule_no)
    is_active = sa.case((runs.c.status == "active", 1), else_=0)
    counted = (sa.func.count(), sa.func.sum(is_active), sa.func.max(runs.c.started_ms))
    for some in _slices(sorted(names)):
        asked = sa.select(*columns, *counted).where(runs.c.participant_no.in_(some)).group_by(*columns)
        for number, journey, rule_no, entered, active, last_ms in connection.execute(asked):
            state.enter(names[number], Entries(journey, rule_no, entered, int(active), last_ms))
        gone = sa.select(former_runs).where(former_runs.c.participant_no.in_(some))
        for row in connection.execute(gone):
            state.enter(names[row.participant_no], Entries(row.journey, row.rule_no, row.runs, 0, row.last_ms))


def save_runs(connection: sa.Connection, tenant: Tenant, people: Mapping[str, int], state: RunState, /) -> None:
    """Save changed runs, the events that they emit, and the counts. The outbox handles their calls."""
    if not state.is_changed:
        return
    own = {"project": tenant.project, "mode": tenant.mode}
    statement = insert(connection, runs)
    kept = ("rule_no", "participant_no", "status", "step", "waiting", "due_ms", "ended_ms", "state")
    changed = statement.on_conflict_do_update(
        index_elements=["id"], set_={name: statement.excluded[name] for name in kept}
    )
    connection.execute(changed, [own | _row(run, people[run.person]) for run in state.changed])
    _count(connection, tenant, _differences((was, state.runs[run_id]) for run_id, was in state.before.items()))
    if state.emitted:
        rows = [own | {"key": each.key, "emitted": msgspec.json.encode(each).decode()} for each in state.emitted]
        connection.execute(insert(connection, emits).on_conflict_do_nothing(), rows)


def prune_runs(connection: sa.Connection, before_ms: int, most: int, /) -> int:
    """Delete runs of one tenant that ended before a moment, and remember that they were. Returns their number."""
    is_old = runs.c.ended_ms < before_ms
    first = connection.execute(sa.select(runs.c.project, runs.c.mode).where(is_old).limit(1)).first()
    if first is None:
        return 0
    # Whoever has loaded one of them to retry it finds the state changed, and loads it again.
    own = reaction_progress.c.project == first.project, reaction_progress.c.mode == first.mode
    connection.execute(sa.update(reaction_progress).where(*own).values(version=reaction_progress.c.version + 1))
    columns = (runs.c.id, runs.c.participant_no, runs.c.rule_no, runs.c.journey, runs.c.started_ms)
    asked = sa.select(*columns).where(runs.c.project == first.project, runs.c.mode == first.mode, is_old)
    found = connection.execute(asked.order_by(runs.c.ended_ms).limit(most)).all()
    gone: dict[tuple[int, int], dict[str, Any]] = {}
    for row in found:
        key = {"participant_no": row.participant_no, "rule_no": row.rule_no, "journey": row.journey}
        each = gone.setdefault((row.participant_no, row.rule_no), key | {"runs": 0, "last_ms": 0})
        each["runs"], each["last_ms"] = each["runs"] + 1, max(each["last_ms"], row.started_ms)
    statement = insert(connection, former_runs)
    held, new = former_runs.c, statement.excluded
    more = {
        "runs": held.runs + new.runs,
        "last_ms": sa.case((held.last_ms < new.last_ms, new.last_ms), else_=held.last_ms),
    }
    keys = ["participant_no", "rule_no"]
    connection.execute(
        statement.on_conflict_do_update(index_elements=keys, set_=more), [gone[key] for key in sorted(gone)]
    )
    connection.execute(sa.delete(runs).where(runs.c.id.in_([row.id for row in found])))
    return len(found)


def _row(run: Run, participant_no: int) -> dict[str, object]:
    return {
        "id": run.id,
        "rule_no": run.rule_no,
        "journey": run.journey,
        "participant_no": participant_no,
        "status": run.status,
        "step": run.step,
        "waiting": run.waiting,
        "due_ms": run.due_ms,
        "started_ms": run.started_ms,
        "ended_ms": None if run.status == "active" else run.moment_ms,
        "state": msgspec.json.encode(run).decode(),
    }


def _differences(changes: Iterable[tuple[Run | None, Run]]) -> Counter[tuple[int, str, str]]:
    """By (rule number, step, outcome): the change in the number of runs."""
    found: Counter[tuple[int, str, str]] = Counter()
    for was, run in changes:
        for each, sign in ((was, -1), (run, 1)):
            if each is None:
                continue
            found[each.rule_no, "", each.status] += sign
            for visit in each.visits:
                found[each.rule_no, visit.step, visit.outcome] += sign
    return found


def discount(connection: sa.Connection, tenant: Tenant, gone: Iterable[Run], /) -> None:
    """Take runs that are about to be deleted out of the counts."""
    held = _differences((None, run) for run in gone)
    _count(connection, tenant, {key: -count for key, count in held.items()})


def _count(connection: sa.Connection, tenant: Tenant, more: Mapping[tuple[int, str, str], int]) -> None:
    rows = [
        {"project": tenant.project, "mode": tenant.mode, "rule_no": rule_no, "step": step, "outcome": outcome}
        | {"runs": count}
        for (rule_no, step, outcome), count in sorted(more.items())
        if count
    ]
    if not rows:
        return
    statement = insert(connection, run_counts)
    keys = [column.name for column in run_counts.primary_key.columns]
    added = {"runs": run_counts.c.runs + statement.excluded.runs}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=added), rows)


def keep_versions(connection: sa.Connection, definitions: Mapping[int, str], /) -> None:
    """Save the definitions of versions by their numbers."""
    if definitions:
        rows = [{"rule_no": number, "definition": text} for number, text in sorted(definitions.items())]
        connection.execute(insert(connection, journeys).on_conflict_do_nothing(), rows)


def move_runs(connection: sa.Connection, project: str, moves: Sequence[tuple[str, int, Mapping[str, str]]], /) -> int:
    """Move runs to other versions of their journeys. Returns their number.

    moves: (journey, number of the target version, what runs wait for at each of its steps). Runs at other steps stay.
    """
    # A state that was loaded before this becomes outdated, and is loaded again.
    connection.execute(
        sa.update(reaction_progress)
        .where(reaction_progress.c.project == project)
        .values(version=reaction_progress.c.version + 1)
    )
    moved = 0
    for journey, number, waits in moves:
        for step, waiting in sorted(waits.items()):
            here = (
                *(runs.c.project == project, runs.c.journey == journey, runs.c.status == "active"),
                *(runs.c.rule_no != number, runs.c.step == step, runs.c.waiting == waiting),
            )
            grouped = (
                sa.select(runs.c.mode, runs.c.rule_no, sa.func.count())
                .where(*here)
                .group_by(runs.c.mode, runs.c.rule_no)
            )
            for mode, before, count in connection.execute(grouped).all():
                _count(connection, Tenant(project, mode), _moved(before, number, step, count))
                moved += count
            connection.execute(sa.update(runs).where(*here).values(rule_no=number))
    return moved


def _moved(before: int, after: int, step: str, count: int) -> dict[tuple[int, str, str], int]:
    return {
        (before, "", "active"): -count,
        (after, "", "active"): count,
        (before, step, ""): -count,
        (after, step, ""): count,
    }


def _slices(values: Sequence[Any]) -> list[Sequence[Any]]:
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]
