"""Participants are persons: ids point to the one that their person goes by, and have shares of what it has. Old runs go."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    op.add_column("participants", sa.Column("whole_no", sa.BigInteger()))
    op.create_index("ix_participants_whole_no", "participants", ["whole_no"])
    op.add_column("awards", sa.Column("stands", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.create_table(
        "shares",
        sa.Column("participant_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("completions", sa.BigInteger(), nullable=False),
        sa.Column("corrected", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("participant_no", "rule_no", name="pk_shares"),
        sqlite_with_rowid=False,
    )
    op.add_column("runs", sa.Column("ended_ms", sa.BigInteger()))
    op.execute("UPDATE runs SET ended_ms = started_ms WHERE status <> 'active'")
    is_set = sa.text("ended_ms IS NOT NULL")
    op.create_index("ix_runs_ended_ms", "runs", ["ended_ms"], sqlite_where=is_set, postgresql_where=is_set)
    op.create_table(
        "former_runs",
        sa.Column("participant_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("journey", text(64), nullable=False),
        sa.Column("runs", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("participant_no", "rule_no", name="pk_former_runs"),
        sqlite_with_rowid=False,
    )
