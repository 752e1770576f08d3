"""What events caused, and how far reactions have come."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

reaction_progress = Table(  # one row for each project and mode with events that were reacted to
    "reaction_progress",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("behind", Boolean, nullable=False),  # whether events after it, up to the offset of "reactions", still wait
    Column(
        "version", BigInteger, nullable=False
    ),  # incremented by every transaction that changes the tenant's reaction state
)

attempts = Table(  # events during whose reactions the process died
    "attempts",
    metadata,
    Column("event_id", text(32), primary_key=True),
    Column("attempts", Integer, nullable=False),
)

markers = Table(
    "markers",
    metadata,
    Column("event_id", text(32), primary_key=True),
    Column("counted", text(), nullable=False),  # numbers of the rules that counted it, separated by blanks
    sqlite_with_rowid=False,
)

effects = Table(
    "effects",
    metadata,
    Column("event_id", text(32), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("kind", text(10), nullable=False),
    Column("participant_no", BigInteger, nullable=False),  # 0: none
    Column("at_ms", BigInteger, nullable=False),
    Column("detail", text(), nullable=False),  # JSON
    Index("ix_effects_participant_no", "participant_no", "event_id"),
    sqlite_with_rowid=False,
)
