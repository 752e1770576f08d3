"""Events that were erased on purpose."""

from sqlalchemy import BigInteger, Column, LargeBinary, Table

from headrace.control.tables.base import metadata

erased = Table(  # position and tail together are the event's id
    "erased",
    metadata,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("tail", BigInteger, primary_key=True, autoincrement=False),
    Column("key", LargeBinary(16), nullable=False),  # dedup key; empty if the event has none
    sqlite_with_rowid=False,
)
