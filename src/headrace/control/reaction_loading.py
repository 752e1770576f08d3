"""Reads the reactions' state of one project and mode. Writes nothing."""

from collections.abc import Sequence
from typing import Any, cast

import msgspec
import sqlalchemy as sa

from headrace.control.journeys import load_runs
from headrace.control.participants import in_slices, numbers_of
from headrace.control.tables.ledger import points
from headrace.control.tables.reactions import effects, markers, reaction_progress
from headrace.control.tables.scores import awards, buckets, standings
from headrace.model.event import Tenant
from headrace.model.reaction_state import Caused, Needs, Standing, State


class Loading:
    """Reads one tenant's state."""

    def __init__(self, connection: sa.Connection, tenant: Tenant) -> None:
        self._connection = connection
        self._tenant = tenant

    def state(self, needs: Needs) -> State:
        # Read first, so that a change while the rest is read is noticed when this state is saved.
        version = self._connection.scalar(sa.select(reaction_progress.c.version).where(*_is_of(self._tenant)))
        state = State(version or 0)
        numbers = numbers_of(self._connection, self._tenant, needs.participants)
        names = {number: name for name, number in numbers.items()}
        self._load_events(needs.event_ids, state, names)
        for some in in_slices(list(names)):
            asked = sa.select(standings).where(standings.c.participant_no.in_(some))
            for row in self._connection.execute(asked):
                state.standings[row.rule_no, names[row.participant_no]] = Standing(row.completions, row.best)
            asked = sa.select(awards.c.participant_no, awards.c.badge, awards.c.revoked_at_ms).where(
                awards.c.participant_no.in_(some)
            )
            for row in self._connection.execute(asked):
                badges = state.held if row.revoked_at_ms is None else state.revoked
                badges.setdefault(names[row.participant_no], set()).add(row.badge)
        self._load_buckets(needs, state, numbers, names)
        if needs.travellers or needs.runs:  # only needed for projects with journeys
            people = {name: numbers[name] for name in needs.travellers if name in numbers}
            load_runs(self._connection, self._tenant, people, needs.runs, state.journeys)
        self._load_credits(needs, state, names)
        return state

    def _load_credits(self, needs: Needs, state: State, names: dict[int, str]) -> None:
        """What other versions of each rule have paid to each participant, less the credits used so far."""
        if not needs.others:
            return
        wanted = sorted({*needs.others, *(other for others in needs.others.values() for other in others)})
        paid: dict[tuple[int, int], tuple[int, int]] = {}
        for some_rules in in_slices(wanted):
            for some in in_slices(sorted(names)):
                asked = (
                    sa.select(
                        points.c.participant_no,
                        points.c.rule_no,
                        sa.func.sum(points.c.points),
                        sa.func.sum(points.c.credited),
                    )
                    .where(points.c.participant_no.in_(some), points.c.rule_no.in_(some_rules))
                    .group_by(points.c.participant_no, points.c.rule_no)
                )
                paid |= {(row[0], row[1]): (int(row[2]), int(row[3])) for row in self._connection.execute(asked)}
        for rule_no, others in needs.others.items():
            for number, name in names.items():
                by_others = sum(paid.get((number, other), (0, 0))[0] for other in others)
                credit = by_others - paid.get((number, rule_no), (0, 0))[1]
                if credit > 0:
                    state.credits[rule_no, name] = credit

    def _load_buckets(self, needs: Needs, state: State, numbers: dict[str, int], names: dict[int, str]) -> None:
        """One query for all rules that need the same buckets: a project's rules usually share a few windows."""
        wanted: dict[tuple[int, int], tuple[set[int], set[int]]] = {}
        for (rule_no, first, last), who in needs.spans.items():
            known = {numbers[name] for name in who if name in numbers}
            if known:
                rule_nos, participant_nos = wanted.setdefault((first, last), (set(), set()))
                rule_nos.add(rule_no)
                participant_nos |= known
        for (first, last), (rule_nos, participant_nos) in wanted.items():
            for some_rules in in_slices(sorted(rule_nos)):
                for some in in_slices(sorted(participant_nos)):
                    asked = sa.select(buckets).where(
                        buckets.c.rule_no.in_(some_rules),
                        buckets.c.participant_no.in_(some),
                        buckets.c.bucket.between(first, last),
                    )
                    for row in self._connection.execute(asked):
                        held = state.buckets.setdefault((row.rule_no, names[row.participant_no]), {})
                        held[row.bucket] = row.value

    def _load_events(self, event_ids: Sequence[str], state: State, names: dict[int, str]) -> None:
        """Loads markers and effects. New events have none, which one query of their range shows."""
        if not event_ids:
            return
        first, last = min(event_ids), max(event_ids)
        for table in (markers, effects):
            seen = sa.select(sa.literal(1)).where(table.c.event_id.between(first, last)).limit(1)
            if self._connection.scalar(seen) is None:
                continue
            for some in in_slices(sorted(event_ids)):
                for row in self._connection.execute(sa.select(table).where(table.c.event_id.in_(some))):
                    if table is markers:
                        state.counted[row.event_id] = set(map(int, row.counted.split()))
                    else:
                        state.caused.setdefault(row.event_id, []).append(
                            caused_by(row, names.get(row.participant_no, ""))
                        )
        for event_id, found in state.caused.items():
            latest: dict[tuple[int, int], Caused] = {}
            for effect in sorted(found, key=lambda each: each.generation):
                latest[effect.rule_no, effect.ordinal] = effect
            state.caused[event_id] = list(latest.values())


def caused_by(row: sa.Row[Any], participant: str) -> Caused:
    detail = cast("dict[str, object]", msgspec.json.decode(row.detail))
    return Caused(row.event_id, row.rule_no, row.ordinal, row.generation, row.kind, participant, row.at_ms, detail)


def _is_of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return reaction_progress.c.project == tenant.project, reaction_progress.c.mode == tenant.mode
