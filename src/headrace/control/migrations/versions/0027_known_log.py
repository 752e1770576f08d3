"""Which log belongs to the database, where both are on servers."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    op.add_column("instance", sa.Column("log_id", text(40)))
    op.add_column("instance", sa.Column("log_at", text()))
    op.add_column("instance", sa.Column("log_of", text(40)))
