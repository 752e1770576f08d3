"""Rules: what was applied when, and the events that conditions did not look at."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Table, UniqueConstraint

from headrace.control.tables.base import Number, metadata
from headrace.control.tables.projects import projects
from headrace.control.text import text

rule_sets = Table(
    "rule_sets",
    metadata,
    Column("id", Number, primary_key=True),  # the project's greatest id is in force
    Column("project", text(100), ForeignKey(projects.c.name), nullable=False, index=True),
    Column("version", text(16), nullable=False),
    Column("document", text(), nullable=False),  # JSON
    Column("source", text(), nullable=False, server_default=""),  # as it was sent; "": applied before migration 0024
    Column("applied_at_ms", BigInteger, nullable=False),
    Column("from_position", BigInteger, nullable=False, server_default="0"),  # they apply to events after this position
)

rules = Table(  # one row for each version of a rule's meaning; other tables refer to its number
    "rules",
    metadata,
    Column("no", Number, primary_key=True),
    Column("project", text(100), ForeignKey(projects.c.name), nullable=False),
    Column("kind", text(10), nullable=False),
    Column("rule_id", text(64), nullable=False),
    Column("version", text(16), nullable=False),
    Column("failures", BigInteger, nullable=False),  # how often its condition was neither true nor false
    Column("failed_event", text(32), nullable=False),
    Column("failed_why", text(), nullable=False),
    Column(
        "passed_over", BigInteger, nullable=False, server_default="0"
    ),  # events on which its condition would have cost too much
    UniqueConstraint("project", "kind", "rule_id", "version"),
)

firings = Table(  # how often each version of a rule has fired
    "firings",
    metadata,
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("mode", text(4), primary_key=True),
    Column("fired", BigInteger, nullable=False),
    Column("last_event", text(32), nullable=False),  # "" once that was erased
    sqlite_with_rowid=False,
)

passed_over = Table(  # events on which a rule's condition was not evaluated
    "passed_over",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),  # 0: no rule was evaluated
    Column("event_id", text(32), primary_key=True),
    Column("why", text(), nullable=False),
    sqlite_with_rowid=False,
)

overruns = Table(  # rules whose condition would have cost too much on consecutive events
    "overruns",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),  # when the first of them was received
    Column("event_id", text(32), nullable=False),  # the last of them, or the one that got the rule put aside
    Column("why", text(), nullable=False),
    Column("is_aside", Boolean, nullable=False),
    sqlite_with_rowid=False,
)
