"""What is left of erasures for backups that were made before them: who was erased, as marks. Erases nobody."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.tables.erasures import erasures
from headrace.control.tables.people import person_ids
from headrace.control.tables.scores import participants
from headrace.model.erasure import Notice, mark_of
from headrace.model.event import Tenant

_AT_ONCE = 500
_strings = msgspec.json.Decoder(list[str])


class ControlErasureNotices:
    """Fits the MarkedErasures and AdoptedErasures ports. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def notices(self, after_ms: int, /) -> list[Notice]:
        """See the MarkedErasures port."""
        is_later = erasures.c.id > f"erasure_{max(0, after_ms):012x}"
        is_own = erasures.c.id.not_like("%-%")  # not one of those that `adopt` has made of another
        asked = sa.select(erasures).where(is_later, is_own, erasures.c.marks != "[]").order_by(erasures.c.id)
        with reading(self._engine) as connection:
            rows = connection.execute(asked).all()
        return [Notice(row.id, row.project, row.mode, row.requested_at_ms, _strings.decode(row.marks)) for row in rows]

    def known_among(self, erasure_ids: Collection[str], /) -> set[str]:
        """See the AdoptedErasures port."""
        found: set[str] = set()
        ordered = sorted(erasure_ids)
        with reading(self._engine) as connection:
            for start in range(0, len(ordered), _AT_ONCE):
                some = ordered[start : start + _AT_ONCE]
                found |= set(connection.scalars(sa.select(erasures.c.id).where(erasures.c.id.in_(some))))
        return found

    def marked(self, tenant: Tenant, marks: Collection[str], /) -> set[str]:
        """See the AdoptedErasures port."""
        with reading(self._engine) as connection:
            return {each for each in _ids_of(connection, tenant) if mark_of(tenant, each) in marks}

    def adopt(self, notice: Notice, ids: Sequence[str], now_ms: int, /) -> None:
        """See the AdoptedErasures port."""
        row: dict[str, Any] = {
            "project": notice.project,
            "mode": notice.mode,
            "participants": "[]",
            "removed": "{}",
            "requested_at_ms": notice.requested_at_ms,
        }
        own = {"id": notice.erasure, "status": "done", "ids": "[]", "finished_at_ms": now_ms}
        asked = [
            row | {"id": f"{notice.erasure}-{number}", "status": "requested", "ids": _json([each])}
            for number, each in enumerate(ids)
        ]

        def keep(connection: sa.Connection) -> None:
            connection.execute(sa.insert(erasures).values(row | own | {"marks": _json(notice.marks)}))
            for each in asked:
                connection.execute(sa.insert(erasures).values(each))

        transact(self._engine, keep)


def _ids_of(connection: sa.Connection, tenant: Tenant) -> Iterator[str]:
    for table, column in ((person_ids, person_ids.c.id), (participants, participants.c.name)):
        asked = sa.select(column).where(table.c.project == tenant.project, table.c.mode == tenant.mode)
        yield from connection.scalars(asked.execution_options(yield_per=_AT_ONCE))


def _json(value: Sequence[str]) -> str:
    return msgspec.json.encode(value).decode()
