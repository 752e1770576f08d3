"""The text of each rules document as it was sent: its comments are what its authors want to see again."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.add_column("rule_sets", sa.Column("source", text(), nullable=False, server_default=""))
