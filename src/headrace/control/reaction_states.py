"""What reactions remember: loaded, and kept in one transaction with how far they have come. Knows no rule but its number.

Whoever changes a tenant's state loads it, decides, and saves it. Saving checks that nobody else saved in between, by a
version that grows with each save; so no transaction is open while somebody decides, and no progress is lost, on either database.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.leases import require
from headrace.control.offsets import move
from headrace.control.tables import (
    attempts,
    awards,
    buckets,
    effects,
    markers,
    offsets,
    participants,
    passed_over,
    points,
    reaction_progress,
    rules,
    standings,
)
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.model.reaction_state import Caused, Needs, Standing, State
from headrace.ports.control import StateChanged

CONSUMER = "reactions"
MAX_PASSED_OVER = 10_000  # events listed for each rule; more are only counted
_AT_ONCE = 500  # values in one IN list: SQLite takes 32,766, and a short list keeps statements cached
_Value = TypeVar("_Value", str, int)


class ControlReactionStates:
    """Fits the ReactionStates port. Any thread may call it."""

    def __init__(self, engine: sa.Engine, lease: Lease | None = None) -> None:
        """lease: without it nothing is saved and reactions do not move on; LeaseLost says so."""
        self._engine = engine
        self._lease = lease

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """See the ReactionStates port."""
        with reading(self._engine) as connection:
            return _Loading(connection, tenant).state(needs)

    def save(
        self, tenant: Tenant, state: State, /, position: int = 0, before_commit: Callable[[object], None] | None = None
    ) -> None:
        """See the ReactionStates port."""

        def keep(connection: sa.Connection) -> None:
            _Saving(connection, tenant).save(state, position)
            if before_commit is not None:
                before_commit(connection)
            if self._lease is not None:
                require(connection, self._lease)

        transact(self._engine, keep)

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """See the ReactionStates port."""
        asked = (
            sa.select(effects, rules.c.rule_id, rules.c.version, participants.c.name)
            .join(rules, rules.c.no == effects.c.rule_no)
            .outerjoin(participants, participants.c.no == effects.c.participant_no)
            .where(effects.c.event_id == event_id)
            .order_by(effects.c.generation, effects.c.rule_no, effects.c.ordinal)
        )
        with reading(self._engine) as connection:
            return [(_caused(row, row.name or ""), row.rule_id, row.version) for row in connection.execute(asked)]

    def progress(self) -> tuple[int, dict[Tenant, tuple[int, bool]]]:
        """See the ReactionStates port."""
        with reading(self._engine) as connection:
            found = connection.scalar(sa.select(offsets.c.position).where(offsets.c.consumer == CONSUMER))
            rows = connection.execute(sa.select(reaction_progress)).all()
        return found or 0, {Tenant(row.project, row.mode): (row.position, row.behind) for row in rows}

    def advance(self, position: int, /, behind: Mapping[Tenant, int], caught_up: Iterable[Tenant]) -> None:
        """See the ReactionStates port."""

        def move_all(connection: sa.Connection) -> None:
            for tenant, reached in sorted(behind.items(), key=lambda each: (each[0].project, each[0].mode)):
                _move_tenant(connection, tenant, reached, behind=True)
            for tenant in sorted(caught_up, key=lambda each: (each.project, each.mode)):
                _move_tenant(connection, tenant, position, behind=False)
            move(connection, CONSUMER, position, self._lease)

        transact(self._engine, move_all)

    def count_attempt(self, event_id: str, /) -> None:
        """See the ReactionStates port."""

        def count(connection: sa.Connection) -> None:
            new = insert(connection, attempts).values(event_id=event_id, attempts=1)
            more = {"attempts": attempts.c.attempts + 1}
            connection.execute(new.on_conflict_do_update(index_elements=["event_id"], set_=more))

        transact(self._engine, count)

    def poisonous(self, most_attempts: int, /) -> set[str]:
        """See the ReactionStates port."""
        with reading(self._engine) as connection:
            asked = sa.select(attempts.c.event_id).where(attempts.c.attempts >= most_attempts)
            return set(connection.scalars(asked))


def _move_tenant(connection: sa.Connection, tenant: Tenant, position: int, *, behind: bool) -> None:
    own = {"project": tenant.project, "mode": tenant.mode}
    new = insert(connection, reaction_progress).values(**own, position=position, behind=behind, version=0)
    held = reaction_progress.c.position
    moved = {"position": sa.case((held < position, position), else_=held), "behind": behind}
    connection.execute(new.on_conflict_do_update(index_elements=list(own), set_=moved))


class _Loading:
    """Reads one tenant's state."""

    def __init__(self, connection: sa.Connection, tenant: Tenant) -> None:
        self._connection = connection
        self._tenant = tenant

    def state(self, needs: Needs) -> State:
        # First of all, so that whatever is saved while the rest is read shows when this is saved.
        version = self._connection.scalar(sa.select(reaction_progress.c.version).where(*_is_of(self._tenant)))
        state = State(version or 0)
        numbers = _numbers(self._connection, self._tenant, needs.participants)
        names = {number: name for name, number in numbers.items()}
        self._load_events(needs.event_ids, state, names)
        for some in _slices(list(names)):
            asked = sa.select(standings).where(standings.c.participant_no.in_(some))
            for row in self._connection.execute(asked):
                state.standings[row.rule_no, names[row.participant_no]] = Standing(row.completions, row.best)
            asked = sa.select(awards.c.participant_no, awards.c.badge).where(awards.c.participant_no.in_(some))
            for row in self._connection.execute(asked):
                state.held.setdefault(names[row.participant_no], set()).add(row.badge)
        self._load_buckets(needs, state, numbers, names)
        return state

    def _load_buckets(self, needs: Needs, state: State, numbers: dict[str, int], names: dict[int, str]) -> None:
        """One question for all rules that want the same buckets: most rules of a project have one of few windows."""
        wanted: dict[tuple[int, int], tuple[set[int], set[int]]] = {}
        for (rule_no, first, last), who in needs.spans.items():
            known = {numbers[name] for name in who if name in numbers}
            if known:
                rule_nos, participant_nos = wanted.setdefault((first, last), (set(), set()))
                rule_nos.add(rule_no)
                participant_nos |= known
        for (first, last), (rule_nos, participant_nos) in wanted.items():
            for some_rules in _slices(sorted(rule_nos)):
                for some in _slices(sorted(participant_nos)):
                    asked = sa.select(buckets).where(
                        buckets.c.rule_no.in_(some_rules),
                        buckets.c.participant_no.in_(some),
                        buckets.c.bucket.between(first, last),
                    )
                    for row in self._connection.execute(asked):
                        held = state.buckets.setdefault((row.rule_no, names[row.participant_no]), {})
                        held[row.bucket] = row.value

    def _load_events(self, event_ids: Sequence[str], state: State, names: dict[int, str]) -> None:
        """Markers and effects. New events have none, and one look at their range tells so."""
        if not event_ids:
            return
        first, last = min(event_ids), max(event_ids)
        for table in (markers, effects):
            seen = sa.select(sa.literal(1)).where(table.c.event_id.between(first, last)).limit(1)
            if self._connection.scalar(seen) is None:
                continue
            for some in _slices(sorted(event_ids)):
                for row in self._connection.execute(sa.select(table).where(table.c.event_id.in_(some))):
                    if table is markers:
                        state.counted[row.event_id] = set(map(int, row.counted.split()))
                    else:
                        state.caused.setdefault(row.event_id, []).append(
                            _caused(row, names.get(row.participant_no, ""))
                        )
        for event_id, found in state.caused.items():
            latest: dict[tuple[int, int], Caused] = {}
            for effect in sorted(found, key=lambda each: each.generation):
                latest[effect.rule_no, effect.ordinal] = effect
            state.caused[event_id] = list(latest.values())


class _Saving:
    """Writes what is new in one tenant's state."""

    def __init__(self, connection: sa.Connection, tenant: Tenant) -> None:
        self._connection = connection
        self._tenant = tenant
        self._insert = partial(insert, connection)

    def save(self, state: State, position: int) -> None:
        """Raises StateChanged."""
        self._claim(state.version, position)
        if not state.is_changed:
            return
        numbers = self._number(_participants_in(state)) | {"": 0}
        self._upsert(
            markers,
            [
                {"event_id": event_id, "counted": " ".join(map(str, sorted(state.counted[event_id])))}
                for event_id in sorted(state.changed_events)
            ],
        )
        self._add(
            effects,
            [
                {
                    "event_id": each.event_id,
                    "rule_no": each.rule_no,
                    "ordinal": each.ordinal,
                    "generation": each.generation,
                    "kind": each.kind,
                    "participant_no": numbers[each.participant],
                    "at_ms": each.at_ms,
                    "detail": msgspec.json.encode(each.detail).decode(),
                }
                for each in state.new_effects
            ],
        )
        self._upsert(
            standings,
            [
                {"participant_no": numbers[name], "rule_no": rule_no, "completions": held.completions}
                | {"best": held.best, "rank": float(held.best)}
                for rule_no, name in state.changed_standings
                if (held := state.standings[rule_no, name])
            ],
        )
        self._save_buckets(numbers, state)
        self._add(
            awards,
            [
                {"participant_no": numbers[name], "badge": badge, "rule_no": each.rule_no}
                | {"event_id": each.event_id, "at_ms": each.at_ms}
                for name, badge, each in state.new_badges
            ],
        )
        self._add(
            points,
            [
                {"event_id": each.event_id, "rule_no": each.rule_no, "ordinal": each.ordinal}
                | {"participant_no": numbers[name], "points": granted, "at_ms": each.at_ms}
                for name, granted, each in state.new_points
            ],
        )
        self._pass_over(state)
        for no, (count, event_id, why) in sorted(state.failures.items()):
            self._connection.execute(
                sa.update(rules)
                .where(rules.c.no == no)
                .values(failures=rules.c.failures + count, failed_event=event_id, failed_why=why)
            )

    def _claim(self, version: int, position: int) -> None:
        """Take the tenant's row, which every transaction takes first, and see that nobody else has saved since."""
        own = {"project": self._tenant.project, "mode": self._tenant.mode}
        insert = self._insert(reaction_progress).values(**own, position=position, behind=False, version=1)
        held = reaction_progress.c
        moved = {
            "version": held.version + 1,
            "position": sa.case((held.position < position, position), else_=held.position),
        }
        # RETURNING, for how many rows an INSERT has changed is not known with every driver.
        claim = insert.on_conflict_do_update(index_elements=list(own), set_=moved, where=held.version == version)
        if self._connection.scalar(claim.returning(held.version)) is None:
            raise StateChanged

    def _pass_over(self, state: State) -> None:
        if not state.passed_over:
            return
        by_rule: dict[int, int] = {}
        for no, _, _ in state.passed_over:
            by_rule[no] = by_rule.get(no, 0) + 1
        for no, count in sorted(by_rule.items()):
            self._connection.execute(
                sa.update(rules).where(rules.c.no == no).values(passed_over=rules.c.passed_over + count)
            )
        full = set(
            self._connection.scalars(
                sa.select(rules.c.no).where(rules.c.no.in_(sorted(by_rule)), rules.c.passed_over > MAX_PASSED_OVER)
            )
        )
        own = {"project": self._tenant.project, "mode": self._tenant.mode}
        rows = [
            own | {"rule_no": no, "event_id": event_id, "why": why}
            for no, event_id, why in state.passed_over
            if no not in full
        ]
        if rows:
            insert = self._insert(passed_over)
            self._connection.execute(insert.on_conflict_do_nothing(), rows)

    def _number(self, names: Iterable[str]) -> dict[str, int]:
        """The number of each participant; a new one gets the next."""
        names = sorted(names)
        found = _numbers(self._connection, self._tenant, names)
        if new := [name for name in names if name not in found]:
            rows = [{"project": self._tenant.project, "mode": self._tenant.mode, "name": name} for name in new]
            self._connection.execute(self._insert(participants).on_conflict_do_nothing(), rows)
            found |= _numbers(self._connection, self._tenant, new)
        return found

    def _save_buckets(self, numbers: dict[str, int], state: State) -> None:
        kept: list[dict[str, object]] = []
        gone: list[dict[str, object]] = []
        for rule_no, name, bucket in state.changed_buckets:
            value = state.bucket(rule_no, name, bucket)
            key: dict[str, object] = {"rule_no": rule_no, "participant_no": numbers[name], "bucket": bucket}
            if value:
                kept.append(key | {"value": value})
            else:
                gone.append({f"b_{column}": each for column, each in key.items()})
        self._upsert(buckets, kept)
        if gone:
            own = [column == sa.bindparam(f"b_{column.name}") for column in buckets.primary_key.columns]
            self._connection.execute(sa.delete(buckets).where(*own), gone)

    def _add(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        """Insert rows that are not there yet; one that is there fails the transaction, for it would happen twice."""
        if rows:
            self._connection.execute(sa.insert(table), rows)

    def _upsert(self, table: sa.Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        statement = self._insert(table)
        keys = [column.name for column in table.primary_key.columns]
        new = {name: statement.excluded[name] for name in rows[0] if name not in keys}
        self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)


def _participants_in(state: State) -> set[str]:
    return (
        {each.participant for each in state.new_effects if each.participant}
        | {name for _, name in state.changed_standings}
        | {name for _, name, _ in state.changed_buckets}
        | {name for name, _, _ in state.new_badges}
        | {name for name, _, _ in state.new_points}
    )


def _numbers(connection: sa.Connection, tenant: Tenant, names: Sequence[str]) -> dict[str, int]:
    """The numbers of those participants that have one."""
    own = (participants.c.project == tenant.project, participants.c.mode == tenant.mode)
    found: dict[str, int] = {}
    for some in _slices(list(names)):
        asked = sa.select(participants.c.name, participants.c.no).where(*own, participants.c.name.in_(some))
        found |= {row.name: row.no for row in connection.execute(asked)}
    return found


def _is_of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return reaction_progress.c.project == tenant.project, reaction_progress.c.mode == tenant.mode


def _caused(row: sa.Row[Any], participant: str) -> Caused:
    detail = cast("dict[str, object]", msgspec.json.decode(row.detail))
    return Caused(row.event_id, row.rule_no, row.ordinal, row.generation, row.kind, participant, row.at_ms, detail)


def _slices(values: Sequence[_Value]) -> list[Sequence[_Value]]:
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]
