"""Journeys: the versions of each, their runs with their timers, and what runs emit and are answered."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "journeys",
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("definition", text(), nullable=False),
        sa.PrimaryKeyConstraint("rule_no", name="pk_journeys"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "runs",
        sa.Column("id", text(40), nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), nullable=False),
        sa.Column("journey", text(64), nullable=False),
        sa.Column("participant_no", sa.BigInteger(), nullable=False),
        sa.Column("status", text(10), nullable=False),
        sa.Column("step", text(64), nullable=False),
        sa.Column("waiting", text(10), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=True),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("state", text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_runs_participant_no", "runs", ["participant_no", "status"])
    op.create_index("ix_runs_journey", "runs", ["project", "mode", "journey", "status", "started_ms", "id"])
    is_set = sa.text("due_ms IS NOT NULL")
    op.create_index(
        "ix_runs_due_ms", "runs", ["project", "mode", "due_ms"], sqlite_where=is_set, postgresql_where=is_set
    )
    op.create_table(
        "run_counts",
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("step", text(64), nullable=False),
        sa.Column("outcome", text(10), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "mode", "rule_no", "step", "outcome", name="pk_run_counts"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "emits",
        sa.Column("no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("key", text(120), nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("emitted", text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_emits"),
        sa.UniqueConstraint("key", name="uq_emits_key"),
    )
    op.create_table(
        "replies",
        sa.Column("key", text(120), nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("run_id", text(40), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("reply", text(), nullable=True),
        sa.Column("problem", text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_replies"),
        sqlite_with_rowid=False,
    )
