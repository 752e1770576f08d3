"""Erasures of people as control keeps them: what was asked for, how far it has come, and the receipt. Removes nobody itself."""

import secrets
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.locks import lock_tenant
from headrace.control.tables.erasures import erased, erasures
from headrace.control.tables.scores import participants
from headrace.model.entries import ErasedEvent
from headrace.model.erasure import MAX_UNFINISHED, PLACES, Erasure, OpenErasure, mark_of
from headrace.model.errors import NotFound, Unavailable
from headrace.model.event import Tenant

_AT_ONCE = 5_000  # rows of one transaction
_strings = msgspec.json.Decoder(list[str])
_numbers = msgspec.json.Decoder(list[int])
_counts = msgspec.json.Decoder(dict[str, int])


class ControlErasures:
    """Fits the Erasures and OpenErasures ports. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def request(self, tenant: Tenant, user_id: str, now_ms: int, /) -> tuple[Erasure, bool]:
        """See the Erasures port."""

        def keep(connection: sa.Connection) -> tuple[Erasure, bool]:
            lock_tenant(connection, tenant)
            waiting = connection.execute(
                sa.select(erasures).where(*_of(tenant), _IS_OPEN).order_by(erasures.c.id)
            ).all()
            for row in waiting:
                if row.position is None and user_id in _strings.decode(row.ids):
                    return _receipt(row), False
            if len(waiting) >= MAX_UNFINISHED:
                raise Unavailable(
                    f"{len(waiting)} erasures are unfinished: wait until some are done.", retry_after_s=60
                )
            values: dict[str, Any] = {
                "id": f"erasure_{now_ms:012x}{secrets.token_hex(5)}",
                "project": tenant.project,
                "mode": tenant.mode,
                "status": "requested",
                "ids": msgspec.json.encode([user_id]).decode(),
                "participants": "[]",
                "removed": "{}",
                "requested_at_ms": now_ms,
            }
            connection.execute(sa.insert(erasures).values(values))
            return _receipt(connection.execute(sa.select(erasures).where(erasures.c.id == values["id"])).one()), True

        return transact(self._engine, keep)

    def get(self, tenant: Tenant, erasure_id: str, /) -> Erasure:
        """See the Erasures port."""
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(erasures).where(*_of(tenant), erasures.c.id == erasure_id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no erasure {erasure_id[:80]!r}.")
        return _receipt(row)

    def listed(self, tenant: Tenant, before: str, limit: int, /) -> list[Erasure]:
        """See the Erasures port."""
        asked = sa.select(erasures).where(*_of(tenant)).order_by(erasures.c.id.desc()).limit(limit)
        if before:
            asked = asked.where(erasures.c.id < before)
        with reading(self._engine) as connection:
            return [_receipt(row) for row in connection.execute(asked)]

    def open(self) -> list[OpenErasure]:
        """See the OpenErasures port."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(erasures).where(_IS_OPEN).order_by(erasures.c.id)).all()
        return [
            OpenErasure(
                *(row.id, Tenant(row.project, row.mode), row.status),
                *(_strings.decode(row.ids), row.position, _numbers.decode(row.participants)),
            )
            for row in rows
        ]

    def placed(self, erasure_id: str, position: int, /) -> OpenErasure | None:
        """See the OpenErasures port."""
        place = (
            sa.update(erasures)
            .where(erasures.c.id == erasure_id, erasures.c.position.is_(None), _IS_OPEN)
            .values(position=position)
        )
        transact(self._engine, lambda connection: connection.execute(place))
        return next((each for each in self.open() if each.id == erasure_id), None)

    def know(self, erasure_id: str, ids: Sequence[str], /) -> None:
        """See the OpenErasures port."""
        own = sa.select(erasures).where(erasures.c.id == erasure_id, _IS_OPEN).with_for_update()

        def note(connection: sa.Connection) -> None:
            row = connection.execute(own).one_or_none()
            if row is None:
                return
            tenant = Tenant(row.project, row.mode)
            marks = {*_strings.decode(row.marks), *(mark_of(tenant, each) for each in ids)}
            values = {"ids": _json(list(ids)), "marks": _json(sorted(marks))}
            connection.execute(sa.update(erasures).where(erasures.c.id == erasure_id).values(values))

        transact(self._engine, note)

    def list_events(
        self, erasure_id: str, events: Sequence[ErasedEvent], /, *, place: str, in_log_after: int | None = None
    ) -> None:
        """See the OpenErasures port."""
        ordered = sorted(events, key=lambda each: (each.position, each.tail))
        for start in range(0, len(ordered), _AT_ONCE):
            some = ordered[start : start + _AT_ONCE]

            def keep(connection: sa.Connection, some: Sequence[ErasedEvent] = some) -> None:
                new = _new_among(connection, some)
                rows = [{"position": each.position, "tail": each.tail, "key": each.key} for each in new]
                if not rows:
                    return
                connection.execute(insert(connection, erased).on_conflict_do_nothing(), rows)
                counts = {place: len(rows)}
                if in_log_after is not None:
                    counts["log_entries"] = sum(each.position > in_log_after for each in new)
                count_removed(connection, erasure_id, counts)

            transact(self._engine, keep)

    def finish(self, erasure_ids: Sequence[str], now_ms: int, /) -> None:
        """See the OpenErasures port."""
        own = (erasures.c.id.in_(list(erasure_ids)), erasures.c.status == "detached")

        def end(connection: sa.Connection) -> None:
            # In one transaction: if a number were free while its erasure is not done, a repeated step would take it for theirs.
            for numbers in connection.scalars(sa.select(erasures.c.participants).where(*own)).all():
                hidden = (participants.c.project == "", participants.c.no.in_(_numbers.decode(numbers)))
                connection.execute(sa.delete(participants).where(*hidden))
            connection.execute(sa.update(erasures).where(*own).values(status="done", ids="[]", finished_at_ms=now_ms))

        transact(self._engine, end)


def _json(value: list[str]) -> str:
    return msgspec.json.encode(value).decode()


def count_removed(connection: sa.Connection, erasure_id: str, counts: Mapping[str, int], /) -> None:
    """Add to a receipt, in the transaction that removes."""
    more = {place: count for place, count in counts.items() if count}
    if not more:
        return
    own = sa.select(erasures.c.removed).where(erasures.c.id == erasure_id)
    removed = _counts.decode(connection.execute(own.with_for_update()).scalar_one())
    for place, count in more.items():
        removed[place] = removed.get(place, 0) + count
    connection.execute(
        sa.update(erasures).where(erasures.c.id == erasure_id).values(removed=msgspec.json.encode(removed).decode())
    )


def listed_among(connection: sa.Connection, places: Collection[tuple[int, int]], /) -> set[tuple[int, int]]:
    """Those of some (position, tail) that are on the list of erased events."""
    positions = sorted({position for position, _ in places})
    found: set[tuple[int, int]] = set()
    for start in range(0, len(positions), 500):
        some = positions[start : start + 500]
        rows = connection.execute(sa.select(erased.c.position, erased.c.tail).where(erased.c.position.in_(some)))
        found |= {(row.position, row.tail) for row in rows}
    return found & set(places)


_IS_OPEN = erasures.c.status != sa.literal_column("'done'")  # as the index says it


def _new_among(connection: sa.Connection, events: Sequence[ErasedEvent]) -> list[ErasedEvent]:
    known = listed_among(connection, [(each.position, each.tail) for each in events])
    return [each for each in events if (each.position, each.tail) not in known]


def _of(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return erasures.c.project == tenant.project, erasures.c.mode == tenant.mode


def _receipt(row: sa.Row[Any]) -> Erasure:
    counts = _counts.decode(row.removed)
    return Erasure(
        *(row.id, Tenant(row.project, row.mode), row.status, row.requested_at_ms, row.finished_at_ms),
        {place: counts.get(place, 0) for place in PLACES},
    )
