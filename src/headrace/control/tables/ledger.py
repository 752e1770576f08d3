"""The ledger of points, its sums, and grants by admins."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table

from headrace.control.tables.base import metadata
from headrace.control.text import text

points = Table(  # the ledger: append-only
    "points",
    metadata,
    Column("event_id", text(32), primary_key=True),  # for entries without an event, an id of their own
    Column("rule_no", BigInteger, primary_key=True, autoincrement=False),  # 0: by an admin
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("participant_no", BigInteger, nullable=False, index=True),
    Column("points", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("kind", text(10), nullable=False, server_default="earned"),  # earned, granted, rebuilt, merged
    Column(
        "credited", BigInteger, nullable=False, server_default="0"
    ),  # not paid again: earlier versions of the rule paid it
    Column("reason", text(), nullable=False, server_default=""),
    Index("ix_points_at_ms", "at_ms"),
    sqlite_with_rowid=False,
)

balances = Table(  # the sum of each participant's ledger entries, updated in the transaction that adds them
    "balances",
    metadata,
    Column("participant_no", BigInteger, primary_key=True, autoincrement=False),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("balance", BigInteger, nullable=False),
    Index("ix_balances_project", "project", "mode", "balance"),
    sqlite_with_rowid=False,
)

grants = Table(  # points granted or deducted by an admin, by the request's idempotency key
    "grants",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("key", text(255), primary_key=True),
    Column("entry_id", text(32), nullable=False),  # event_id in the ledger
    Column("request", text(), nullable=False),  # JSON: the same key with another request is rejected
    Column("balance", BigInteger, nullable=False),  # after it
    sqlite_with_rowid=False,
)
