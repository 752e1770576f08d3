"""Webhooks and the deliveries to them."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Integer, Table, UniqueConstraint

from headrace.control.tables.base import Number, metadata
from headrace.control.text import text

webhooks = Table(
    "webhooks",
    metadata,
    Column("no", Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("id", text(80), nullable=False),  # after deletion, one that no client can choose: see DELETED in webhooks.py
    Column("url", text(), nullable=False),
    Column("topics", text(200), nullable=False),  # comma-separated, with a comma at each end
    Column("filters", text(), nullable=False),  # JSON
    Column("status", text(10), nullable=False),  # enabled, disabled, deleted
    Column("reason", text(), nullable=False),
    Column("secret", text(100), nullable=False),  # in plain text: signing needs it
    Column("former_secret", text(100), nullable=False),
    Column("overlap_until_ms", BigInteger, nullable=False),  # until then the former secret signs as well
    Column("position", BigInteger, nullable=False),  # events up to it have become deliveries
    Column("is_full", Boolean, nullable=False),  # whether the limit of waiting deliveries is reached
    Column("failing_since_ms", BigInteger, nullable=False),  # 0: the last attempt succeeded
    Column("problem", text(), nullable=False),
    Column("created_at_ms", BigInteger, nullable=False),
    UniqueConstraint("project", "mode", "id"),
    sqlite_autoincrement=True,  # numbers are never reused
)

deliveries = Table(  # written in the transaction of the effect they report, under the effect's key
    "deliveries",
    metadata,
    Column("no", Number, primary_key=True),
    Column("webhook_no", Number, ForeignKey(webhooks.c.no), nullable=False),
    Column("key", text(200), nullable=False),
    Column("topic", text(20), nullable=False),
    Column("body", text(), nullable=False),  # exactly what is signed and sent
    Column("reply_to", text(), nullable=False),  # the run that waits for the reply to a call
    Column("status", text(10), nullable=False),  # waiting, delivered, dead
    Column("created_at_ms", BigInteger, nullable=False),
    Column("due_at_ms", BigInteger, nullable=False),
    Column("give_up_at_ms", BigInteger, nullable=False),
    Column("ended_at_ms", BigInteger),
    Column("tries", Integer, nullable=False),
    Column("attempts", text(), nullable=False),  # JSON: the latest ones
    Column("problem", text(), nullable=False),
    UniqueConstraint("webhook_no", "key"),
    Index("ix_deliveries_status", "status", "webhook_no", "due_at_ms"),
    Index("ix_deliveries_webhook_no", "webhook_no", "no"),
)
