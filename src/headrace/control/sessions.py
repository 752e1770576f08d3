"""The console's sessions in the control database. Keeps hashes of tokens, never tokens; ids of keys, never secrets."""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.key_rows import key_of
from headrace.control.tables.console import console_sessions, instance
from headrace.control.tables.keys import keys
from headrace.control.tables.projects import projects
from headrace.model.console import IDLE_MS, LONGEST_MS, Session
from headrace.model.keys import Key

_MOST_LISTED = 200


class ControlSessions:
    """Fits the Sessions and Instance ports. Any thread may call it."""

    def __init__(self, engine: sa.Engine, clock_ms: Callable[[], int]) -> None:
        self._engine = engine
        self._clock_ms = clock_ms

    def open(self, session: Session, token_hash: str, proof: str, replaces: str, /) -> None:
        """See the Sessions port."""

        def keep(connection: sa.Connection) -> None:
            connection.execute(sa.delete(console_sessions).where(sa.or_(_expired(self._clock_ms()), _is(replaces))))
            row = {
                "id": session.id,
                "hash": token_hash,
                "is_operator": session.is_operator,
                "keys": " ".join(each.id for each in session.keys),
                "proof": proof,
                "address": session.address,
                "created_at_ms": session.created_at_ms,
                "used_at_ms": session.used_at_ms,
            }
            connection.execute(sa.insert(console_sessions).values(row))

        transact(self._engine, keep)

    def find(self, token_hash: str, /) -> tuple[Session, str] | None:
        """See the Sessions port."""
        with reading(self._engine) as connection:
            asked = sa.select(console_sessions).where(console_sessions.c.hash == token_hash)
            row = connection.execute(asked).one_or_none()
            if row is None:
                return None
            return _session(row, _keys_of(connection, [row], self._clock_ms())), row.proof

    def touch(self, session_id: str, now_ms: int, /) -> None:
        """See the Sessions port."""
        used = sa.update(console_sessions).where(_is(session_id)).values(used_at_ms=now_ms)
        transact(self._engine, lambda connection: connection.execute(used))

    def end(self, session_id: str, /) -> bool:
        """See the Sessions port."""
        ended = sa.delete(console_sessions).where(_is(session_id))
        return transact(self._engine, lambda connection: connection.execute(ended).rowcount > 0)

    def listed(self, session_id: str = "", /) -> Sequence[Session]:
        """See the Sessions port."""
        now_ms = self._clock_ms()
        asked = sa.select(console_sessions).where(sa.not_(_expired(now_ms)))
        if session_id:
            asked = asked.where(_is(session_id))
        asked = asked.order_by(console_sessions.c.used_at_ms.desc(), console_sessions.c.id).limit(_MOST_LISTED)
        with reading(self._engine) as connection:
            rows = connection.execute(asked).all()
            known = _keys_of(connection, rows, now_ms)
            return [_session(row, known) for row in rows]

    def server_id(self) -> str:
        """See the Instance port."""
        with reading(self._engine) as connection:
            return connection.execute(sa.select(instance.c.id)).scalar_one()

    def projects(self) -> Sequence[str]:
        """See the Instance port."""
        with reading(self._engine) as connection:
            return connection.scalars(sa.select(projects.c.name).order_by(projects.c.name)).all()


def _is(session_id: str) -> sa.ColumnElement[bool]:
    return console_sessions.c.id == session_id


def _expired(now_ms: int) -> sa.ColumnElement[bool]:
    table = console_sessions.c
    return sa.or_(table.used_at_ms <= now_ms - IDLE_MS, table.created_at_ms <= now_ms - LONGEST_MS)


def _keys_of(connection: sa.Connection, rows: Sequence[sa.Row[Any]], now_ms: int) -> dict[str, Key]:
    """By id: the keys of these sessions that work."""
    wanted = sorted({key_id for row in rows for key_id in row.keys.split()})
    if not wanted:
        return {}
    works = sa.and_(
        keys.c.id.in_(wanted),
        keys.c.revoked_at_ms.is_(None),
        sa.or_(keys.c.expires_at_ms.is_(None), keys.c.expires_at_ms > now_ms),
    )
    return {row.id: key_of(row) for row in connection.execute(sa.select(keys).where(works))}


def _session(row: sa.Row[Any], known: dict[str, Key]) -> Session:
    return Session(
        id=row.id,
        is_operator=row.is_operator,
        keys=tuple(known[key_id] for key_id in row.keys.split() if key_id in known),
        address=row.address,
        created_at_ms=row.created_at_ms,
        used_at_ms=row.used_at_ms,
    )
