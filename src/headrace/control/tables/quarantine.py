"""Entries of the log that were put aside."""

from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

quarantine = Table(  # log entries that can no longer be read as written
    "quarantine",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("tail", BigInteger, nullable=False),
    Column("kind", Integer, nullable=False),  # as in the log
    Column("why", text(), nullable=False),
    Column("payload", LargeBinary, nullable=False),  # as read; empty once dropped
    Column("key", LargeBinary(16), nullable=False),
    Column("found_at_ms", BigInteger, nullable=False),
    Column("dropped_at_ms", BigInteger),  # null: still put aside
)
