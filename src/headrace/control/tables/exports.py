"""How far continuous exports have come."""

from sqlalchemy import BigInteger, Column, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

continuous_exports = Table(
    "continuous_exports",
    metadata,
    Column("target", text(64), primary_key=True),  # a hash of where the files go
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("done", BigInteger, nullable=False),  # files up to this position are there
    Column("upto", BigInteger),  # where the next one ends, if that is decided
)
