"""Replay jobs."""

from sqlalchemy import BigInteger, Boolean, Column, Table, false

from headrace.control.tables.base import metadata
from headrace.control.text import text

replays = Table(
    "replays",
    metadata,
    Column("id", text(40), primary_key=True),  # sorts by creation time
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("status", text(10), nullable=False, index=True),
    Column("filters", text(), nullable=False),  # JSON
    Column("ids", BigInteger),
    Column("event_ids", text()),  # comma-separated
    Column("max_events", BigInteger),
    Column("force", Boolean, nullable=False),
    Column("upto", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("replayed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("unknown", BigInteger, nullable=False),
    Column("effects", BigInteger, nullable=False),
    Column("suppressed", BigInteger, nullable=False),
    Column("rebuild", Boolean, nullable=False, server_default=false()),  # whether it ends by correcting the ledger
    Column("rules_applied", text(16), nullable=False, server_default=""),  # by which rules: an id in rule_sets
    Column("corrections", BigInteger, nullable=False, server_default="0"),  # ledger entries that a rebuild added
    Column("corrected_points", BigInteger, nullable=False, server_default="0"),  # the sum of their points
    Column("errors", text(), nullable=False),  # JSON
    Column("problem", text(), nullable=False),
    Column("cursor_ms", BigInteger),
    Column("cursor_position", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("started_at_ms", BigInteger),
    Column("finished_at_ms", BigInteger),
)
