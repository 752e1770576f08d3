"""Projects, and one row to lock for each tenant."""

from sqlalchemy import BigInteger, Column, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

projects = Table(
    "projects",
    metadata,
    Column("name", text(100), primary_key=True),
    Column("created_at_ms", BigInteger, nullable=False),
)

tenants = Table(  # a row to lock: see locks.py
    "tenants",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    sqlite_with_rowid=False,
)
