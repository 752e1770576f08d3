"""Events and people that were erased on purpose, and how long projects keep their events."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table
from sqlalchemy import text as sql_text

from headrace.control.tables.base import metadata
from headrace.control.text import text

erased = Table(  # position and tail together are the event's id
    "erased",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("tail", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(16), nullable=False),  # dedup key; empty if the event has none
    sqlite_with_rowid=False,
)

erasures = Table(  # of people: what was asked for, and the receipt
    "erasures",
    metadata,
    Column("id", text(40), primary_key=True),  # sorts by time of request
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("status", text(10), nullable=False),
    Column("ids", text(), nullable=False),  # JSON: the person's; none once it is done
    Column("position", BigInteger),  # of its command in the log, once that was appended
    Column("participants", text(), nullable=False),  # JSON: the numbers that stood for them
    Column("removed", text(), nullable=False),  # JSON: how much, by place
    Column("requested_at_ms", BigInteger, nullable=False),
    Column("finished_at_ms", BigInteger),
    Column("marks", text(), nullable=False, server_default="[]"),  # JSON: hashes of the ids, for backups made before it
    Index("ix_erasures_project", "project", "mode", "id"),
)
_is_open = sql_text("status != 'done'")
Index("ix_erasures_open", erasures.c.id, sqlite_where=_is_open, postgresql_where=_is_open)

retention = Table(  # how long a project keeps its events
    "retention",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("keep_ms", BigInteger, nullable=False),
    Column("set_at_ms", BigInteger, nullable=False),
    Column("pruned_at_ms", BigInteger),  # when it was last applied
    Column("pruned", BigInteger, nullable=False, server_default="0"),  # events that it has removed
    sqlite_with_rowid=False,
)

backup_folders = Table(  # where backups are that may hold people who are erased later
    "backup_folders",
    metadata,
    Column("path", text(), primary_key=True),
    Column("used_at_ms", BigInteger, nullable=False),
)
