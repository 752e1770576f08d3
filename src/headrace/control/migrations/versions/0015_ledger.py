"""Rules that are put aside; a ledger with balances, grants and corrections; badges that can be taken back."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.create_table(
        "overruns",
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("events", sa.BigInteger(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("event_id", text(32), nullable=False),
        sa.Column("why", text(), nullable=False),
        sa.Column("is_aside", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("project", "mode", "rule_no", name="pk_overruns"),
        sqlite_with_rowid=False,
    )
    op.add_column("awards", sa.Column("revoked_at_ms", sa.BigInteger()))
    op.add_column("awards", sa.Column("revoked_why", text(), nullable=False, server_default=""))
    op.add_column("points", sa.Column("kind", text(10), nullable=False, server_default="earned"))
    op.add_column("points", sa.Column("credited", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("points", sa.Column("reason", text(), nullable=False, server_default=""))
    op.create_index("ix_points_at_ms", "points", ["at_ms"])
    op.create_table(
        "balances",
        sa.Column("participant_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("participant_no", name="pk_balances"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_balances_project", "balances", ["project", "mode", "balance"])
    op.execute(
        "INSERT INTO balances (participant_no, project, mode, balance) "
        "SELECT participants.no, participants.project, participants.mode, sum(points.points) FROM points "
        "JOIN participants ON participants.no = points.participant_no "
        "GROUP BY participants.no, participants.project, participants.mode"
    )
    op.add_column("replays", sa.Column("rebuild", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("replays", sa.Column("rules_applied", text(16), nullable=False, server_default=""))
    op.add_column("replays", sa.Column("corrections", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("replays", sa.Column("corrected_points", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "grants",
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("entry_id", text(32), nullable=False),
        sa.Column("request", text(), nullable=False),
        sa.Column("balance", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "mode", "key", name="pk_grants"),
        sqlite_with_rowid=False,
    )
