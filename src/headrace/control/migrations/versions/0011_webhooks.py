"""Webhooks, and the outbox of their deliveries."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0011"
down_revision = "0008"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "webhooks",
        sa.Column("no", number, nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("id", text(80), nullable=False),
        sa.Column("url", text(), nullable=False),
        sa.Column("topics", text(200), nullable=False),
        sa.Column("filters", text(), nullable=False),
        sa.Column("status", text(10), nullable=False),
        sa.Column("reason", text(), nullable=False),
        sa.Column("secret", text(100), nullable=False),
        sa.Column("former_secret", text(100), nullable=False),
        sa.Column("overlap_until_ms", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.Column("failing_since_ms", sa.BigInteger(), nullable=False),
        sa.Column("problem", text(), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_webhooks"),
        sa.UniqueConstraint("project", "mode", "id", name="uq_webhooks_project"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "deliveries",
        sa.Column("no", number, nullable=False),
        sa.Column("webhook_no", number, nullable=False),
        sa.Column("key", text(200), nullable=False),
        sa.Column("topic", text(20), nullable=False),
        sa.Column("body", text(), nullable=False),
        sa.Column("reply_to", text(), nullable=False),
        sa.Column("status", text(10), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("give_up_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_at_ms", sa.BigInteger()),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("attempts", text(), nullable=False),
        sa.Column("problem", text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["webhook_no"], ["webhooks.no"], name="fk_deliveries_webhook_no"),
        sa.UniqueConstraint("webhook_no", "key", name="uq_deliveries_webhook_no"),
    )
    op.create_index("ix_deliveries_status", "deliveries", ["status", "webhook_no", "due_at_ms"])
    op.create_index("ix_deliveries_webhook_no", "deliveries", ["webhook_no", "no"])
