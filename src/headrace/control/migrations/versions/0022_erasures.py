"""Erasures of people with their receipts, and how long each project keeps its events."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", text(40), nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("status", text(10), nullable=False),
        sa.Column("ids", text(), nullable=False),
        sa.Column("position", sa.BigInteger()),
        sa.Column("participants", text(), nullable=False),
        sa.Column("removed", text(), nullable=False),
        sa.Column("requested_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("finished_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_erasures"),
    )
    op.create_index("ix_erasures_project", "erasures", ["project", "mode", "id"])
    op.create_index(
        "ix_erasures_open",
        "erasures",
        ["id"],
        sqlite_where=sa.text("status != 'done'"),
        postgresql_where=sa.text("status != 'done'"),
    )
    op.create_table(
        "retention",
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("keep_ms", sa.BigInteger(), nullable=False),
        sa.Column("set_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("pruned_at_ms", sa.BigInteger()),
        sa.Column("pruned", sa.BigInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("project", "mode", name="pk_retention"),
        sqlite_with_rowid=False,
    )
