"""The console's sessions, and what tells this server's cookies from those of others."""

from sqlalchemy import BigInteger, Boolean, Column, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("id", text(40), primary_key=True),
    Column("hash", text(64), nullable=False, unique=True),  # SHA-256 of the token, in hex
    Column("is_operator", Boolean, nullable=False),
    Column("keys", text(), nullable=False),  # ids, separated by blanks
    Column("proof", text(64), nullable=False),  # that it holds the key in the server's settings; "" if it does not
    Column("address", text(64), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("used_at_ms", BigInteger, nullable=False),
)

instance = Table(  # one row, made with the table
    "instance",
    metadata,
    Column("id", text(16), primary_key=True),
    Column("log_id", text(40)),  # see known_log.py
    Column("log_at", text()),
    Column("log_of", text(40)),
)
