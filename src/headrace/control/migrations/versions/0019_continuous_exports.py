"""How far a continuous export has come, by target, project and mode."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "continuous_exports",
        sa.Column("target", text(64), nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("done", sa.BigInteger(), nullable=False),
        sa.Column("upto", sa.BigInteger()),
        sa.PrimaryKeyConstraint("target", "project", "mode", name="pk_continuous_exports"),
    )
