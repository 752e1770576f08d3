"""What reactions remember: loaded, and kept in one transaction with the worker's position. Knows no rule but its number."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from headrace.control import rulebook
from headrace.control.database import failed, reading, writing
from headrace.control.offsets import move
from headrace.control.tables import awards, buckets, effects, markers, participants, points, rules, standings
from headrace.model.event import Tenant
from headrace.model.reaction_state import Caused, Needs, Standing, State

_AT_ONCE = 500  # values in one IN list: SQLite takes 32,766, and a short list keeps statements cached
_Value = TypeVar("_Value", str, int)


class ControlReactions:
    """The state of the reactions in the control database. Every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine, consumer: str = "worker") -> None:
        self._engine = engine
        self._consumer = consumer

    @contextmanager
    def turn(self, *, keep: bool = True) -> Generator["Turn"]:
        """A transaction: kept on leaving, unless `keep` is false or an exception leaves it."""
        try:
            with writing(self._engine) as connection:
                yield Turn(connection, self._consumer)
                if not keep:
                    raise _Undo
        except _Undo:
            pass

    def heads(self) -> dict[str, int]:
        """The id of the rules in force by project."""
        with reading(self._engine) as connection:
            return rulebook.heads(connection)

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """Every effect of an event with its rule's id and version, in the order in which they happened."""
        asked = (
            sa.select(effects, rules.c.rule_id, rules.c.version, participants.c.name)
            .join(rules, rules.c.no == effects.c.rule_no)
            .outerjoin(participants, participants.c.no == effects.c.participant_no)
            .where(effects.c.event_id == event_id)
            .order_by(effects.c.generation, effects.c.rule_no, effects.c.ordinal)
        )
        with reading(self._engine) as connection:
            return [(_caused(row, row.name or ""), row.rule_id, row.version) for row in connection.execute(asked)]


class _Undo(Exception):
    """Leaves a transaction without keeping it."""


class Turn:
    """One transaction."""

    def __init__(self, connection: sa.Connection, consumer: str) -> None:
        self.transaction = self._connection = connection
        self._consumer = consumer
        self._insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        self._numbers: dict[tuple[Tenant, str], int] = {}

    def heads(self) -> dict[str, int]:
        return rulebook.heads(self._connection)

    @contextmanager
    def attempt(self) -> Generator[None]:
        """What happens within is undone when an exception leaves it; the transaction goes on. Raises ControlFailed."""
        try:
            with self._connection.begin_nested():
                yield
        except SQLAlchemyError as error:
            raise failed(error) from error

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """What is remembered of the events and participants. Participants not known yet are added."""
        state = State()
        numbers = self._number(tenant, needs.participants)
        names = {number: name for name, number in numbers.items()}
        self._load_events(needs.event_ids, state, names)
        for some in _slices(list(names)):
            asked = sa.select(standings).where(standings.c.participant_no.in_(some))
            for row in self._connection.execute(asked):
                state.standings[row.rule_no, names[row.participant_no]] = Standing(row.completions, row.best)
            asked = sa.select(awards.c.participant_no, awards.c.badge).where(awards.c.participant_no.in_(some))
            for row in self._connection.execute(asked):
                state.held.setdefault(names[row.participant_no], set()).add(row.badge)
        for (rule_no, first, last), who in needs.spans.items():
            for some in _slices([numbers[name] for name in sorted(who)]):
                asked = sa.select(buckets.c.participant_no, buckets.c.bucket, buckets.c.value).where(
                    buckets.c.rule_no == rule_no,
                    buckets.c.participant_no.in_(some),
                    buckets.c.bucket.between(first, last),
                )
                for row in self._connection.execute(asked):
                    state.buckets.setdefault((rule_no, names[row.participant_no]), {})[row.bucket] = row.value
        return state

    def save(self, tenant: Tenant, state: State, /) -> None:
        """Keep what is new in the state."""
        numbers = {name: number for (whose, name), number in self._numbers.items() if whose == tenant} | {"": 0}
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
        for no, (count, event_id, why) in state.failures.items():
            self._connection.execute(
                sa.update(rules)
                .where(rules.c.no == no)
                .values(failures=rules.c.failures + count, failed_event=event_id, failed_why=why)
            )

    def commit(self, position: int, /) -> None:
        """Move the worker on, as part of this transaction."""
        move(self._connection, self._consumer, position)

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

    def _number(self, tenant: Tenant, names: Sequence[str]) -> dict[str, int]:
        """The number of each participant; a new one gets the next."""
        own = (participants.c.project == tenant.project, participants.c.mode == tenant.mode)
        found: dict[str, int] = {}
        for some in _slices(list(names)):
            asked = sa.select(participants.c.name, participants.c.no).where(*own, participants.c.name.in_(some))
            known = {row.name: row.no for row in self._connection.execute(asked)}
            if new := [name for name in some if name not in known]:
                rows = [{"project": tenant.project, "mode": tenant.mode, "name": name} for name in new]
                self._connection.execute(sa.insert(participants), rows)
                known = {row.name: row.no for row in self._connection.execute(asked)}
            found |= known
        self._numbers |= {(tenant, name): number for name, number in found.items()}
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


def _caused(row: sa.Row[Any], participant: str) -> Caused:
    detail = cast("dict[str, object]", msgspec.json.decode(row.detail))
    return Caused(row.event_id, row.rule_no, row.ordinal, row.generation, row.kind, participant, row.at_ms, detail)


def _slices(values: Sequence[_Value]) -> list[Sequence[_Value]]:
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]
