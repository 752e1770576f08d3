"""The list of entries of the log that cannot be read as they were written."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "quarantine",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("tail", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("why", text(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("key", sa.LargeBinary(16), nullable=False),
        sa.Column("found_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("dropped_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("position", name="pk_quarantine"),
    )
