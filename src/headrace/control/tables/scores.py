"""Participants, and what reactions keep about each."""

from sqlalchemy import BigInteger, Boolean, Column, Float, Index, Table, UniqueConstraint, true

from headrace.control.tables.base import Number, metadata
from headrace.control.text import text

participants = Table(
    "participants",
    metadata,
    Column("no", Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("name", text(255), nullable=False),
    # Number of the person's main id, its own for that one; null: has never been one of several.
    Column("whole_no", BigInteger, index=True),
    UniqueConstraint("project", "mode", "name"),
)

standings = Table(
    "standings",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("completions", BigInteger, nullable=False),
    Column("best", text(), nullable=False),  # exact decimal
    Column("rank", Float, nullable=False),  # `best` as a float, for sorting
    Index("ix_standings_rule_no", "rule_no", "completions", "rank"),
    sqlite_with_rowid=False,
)

shares = Table(  # each id's part of its person's completions and badges; only for ids that are or were one of several
    "shares",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("completions", BigInteger, nullable=False),  # that its events brought
    Column("corrected", BigInteger, nullable=False),  # what merges and their undoing have added
    sqlite_with_rowid=False,
)

buckets = Table(
    "buckets",
    metadata,
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    Column("value", text(), nullable=False),
    sqlite_with_rowid=False,
)

awards = Table(
    "awards",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("badge", text(64), primary_key=True),
    Column("rule_no", BigInteger, nullable=False),
    Column("event_id", text(32), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("revoked_at_ms", BigInteger),  # when an admin revoked it; a revoked badge is never earned again
    Column("revoked_why", text(), nullable=False, server_default=""),
    Column("stands", Boolean, nullable=False, server_default=true()),  # false: another id of the person holds it, too
    Index("ix_awards_badge", "badge", "participant_no"),
    sqlite_with_rowid=False,
)
