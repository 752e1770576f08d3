"""Everything specific to PostgreSQL: the driver, time limits, and the requirements for a server."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError

from headrace.model.errors import SettingsError

_OLDEST = (14,)  # the oldest that PostgreSQL itself still maintains; 18 is what the tests run
_CONNECT_TIMEOUT_S = 5
_POOL_TIMEOUT_S = 5  # to wait for a connection while all are in use
_LOCK_TIMEOUT_MS = 5_000  # to wait for a row that another transaction has locked; SQLite's busy timeout is as long
# A process that hangs in mid-transaction keeps its rows locked. PostgreSQL rolls the transaction back after this time, which is
# also when the process's leases expire, so a successor need not wait longer.
_IDLE_IN_TRANSACTION_MS = 10_000
# A server that vanishes without a word (a network that is cut, a machine that was suspended for long) is noticed after about the
# length of a lease. With the kernel's defaults it takes two hours, and meanwhile nothing renews a lease.
# Source: https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-KEEPALIVES
_DEAD_PEER: dict[str, int] = {
    "keepalives_idle": 5,  # seconds
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,  # ms
}
# serialization_failure, deadlock_detected (https://www.postgresql.org/docs/18/errcodes-appendix.html)
_UNDONE_FOR_ANOTHER = ("40001", "40P01")


def open_server(url: URL, /) -> sa.Engine:
    """The engine for a database on a server. Does not connect yet. Raises ImportError if psycopg is not installed.

    Writing transactions run READ COMMITTED, so that a row locked with SELECT … FOR UPDATE is read as its last holder left it.
    They lock the rows that they base decisions on (see locks.py). Reading transactions run REPEATABLE READ: in one snapshot.
    """
    limits = f"-c lock_timeout={_LOCK_TIMEOUT_MS} -c idle_in_transaction_session_timeout={_IDLE_IN_TRANSACTION_MS}"
    return sa.create_engine(
        url.set(drivername="postgresql+psycopg"),
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,  # after a restart of the server every pooled connection is dead
        pool_timeout=_POOL_TIMEOUT_S,
        connect_args={
            "connect_timeout": _CONNECT_TIMEOUT_S,
            "application_name": "headrace",
            "client_encoding": "utf8",
            "options": f"{limits} -c timezone=UTC",
            **{name: value for name, value in _DEAD_PEER.items() if name not in url.query},
        },
    )


def require_usable(connection: sa.Connection, shown: str, /) -> None:
    """Raise SettingsError for a server that is too old, a standby, or not UTF-8."""
    version: Any = connection.dialect.server_version_info
    standby, encoding = connection.execute(
        sa.select(sa.func.pg_is_in_recovery(), sa.func.current_setting("server_encoding"))
    ).one()
    problem = (
        f"it is PostgreSQL {'.'.join(map(str, version))}; use {_OLDEST[0]} or newer"
        if version < _OLDEST
        else "it is a standby, which takes no writes; name the primary"
        if standby
        else f"its encoding is {encoding}; create it with ENCODING 'UTF8'"
        if encoding != "UTF8"
        else ""
    )
    if problem:
        raise SettingsError(f"HEADRACE_CONTROL_URL: The database {shown} cannot be used: {problem}.")


def was_undone_for_another(error: DBAPIError, /) -> bool:
    """Whether the transaction was rolled back because of another one, so that a retry may succeed."""
    return getattr(error.orig, "sqlstate", None) in _UNDONE_FOR_ANOTHER
