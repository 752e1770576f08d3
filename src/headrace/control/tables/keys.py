"""API keys."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Table

from headrace.control.tables.base import metadata
from headrace.control.tables.projects import projects
from headrace.control.text import text

keys = Table(
    "keys",
    metadata,
    Column("id", text(40), primary_key=True),
    Column("project", text(100), ForeignKey(projects.c.name), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("style", text(20), nullable=False),
    Column("scopes", text(100), nullable=False),  # comma-separated
    Column("prefix", text(40), nullable=False),
    Column("hash", text(64), nullable=False, unique=True),  # SHA-256 of the secret, in hex
    Column("created_at_ms", BigInteger, nullable=False),
    Column("expires_at_ms", BigInteger),
    Column("revoked_at_ms", BigInteger),
    Column("origins", text()),  # separated by blanks; null: any
    Column("name", text(100), nullable=False, server_default=""),
    Column("last_used_at_ms", BigInteger),  # may lag by a minute: see upkeep/bookkeeping.py
    Column("replaced_by", text(40)),  # the id of the key that a rotation made in its place
    Index("ix_keys_project", "project", "mode", "created_at_ms", "id"),
)

key_uses = Table(  # requests of the last day
    "key_uses",
    metadata,
    Column("key_id", text(40), primary_key=True),
    Column(
        "from_ms", BigInteger, primary_key=True, autoincrement=False
    ),  # of the ten minutes that are counted together
    Column("kind", text(20), primary_key=True),
    Column("route", text(120), primary_key=True),
    Column("client", text(60), primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
