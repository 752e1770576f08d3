"""Publishable keys: the origins of the web pages that may use a key."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("keys", sa.Column("origins", sa.Text()))
