"""Reactions have a progress of their own, per project and mode; rules take effect at a position of the log."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "reaction_progress",
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("behind", sa.Boolean(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "mode", name="pk_reaction_progress"),
    )
    op.create_table(
        "passed_over",
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("project", "mode", "rule_no", "event_id", name="pk_passed_over"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "attempts",
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_attempts"),
    )
    op.add_column("rule_sets", sa.Column("from_position", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("rules", sa.Column("passed_over", sa.BigInteger(), nullable=False, server_default="0"))
    # Until now the worker reacted in the step that stored, so both had come equally far.
    op.execute(
        "INSERT INTO offsets (consumer, position) SELECT 'reactions', position FROM offsets WHERE consumer = 'worker'"
    )
