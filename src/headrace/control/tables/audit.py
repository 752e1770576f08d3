"""What was done with admin keys and commands."""

from sqlalchemy import BigInteger, Column, Index, Table

from headrace.control.tables.base import Number, metadata
from headrace.control.text import text

audit = Table(
    "audit",
    metadata,
    Column("no", Number, primary_key=True),
    Column("project", text(100), nullable=False),  # "" for a command that concerns no one project
    Column("mode", text(4), nullable=False),  # "" for both
    Column("at_ms", BigInteger, nullable=False, index=True),
    Column("by_kind", text(10), nullable=False),  # key or command
    Column("by_key", text(40), nullable=False),
    Column("by_prefix", text(40), nullable=False),
    Column("by_name", text(100), nullable=False),  # of the key, or of the user who ran the command
    Column("address", text(255), nullable=False),
    Column("action", text(60), nullable=False),
    Column("target", text(), nullable=False),
    Column("person", text(16), nullable=False),  # a hash: see model.audit.person_mark
    Column("detail", text(), nullable=False),
    Column("outcome", text(10), nullable=False),
    Index("ix_audit_project", "project", "mode", "no"),
)
