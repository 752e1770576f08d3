"""How often each rule has fired, and what has used each key of late."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0026"
down_revision = "0024"


def upgrade() -> None:
    op.create_table(
        "firings",
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("fired", sa.BigInteger(), nullable=False),
        sa.Column("last_event", text(32), nullable=False),
        sa.PrimaryKeyConstraint("rule_no", "mode", name="pk_firings"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "key_uses",
        sa.Column("key_id", text(40), nullable=False),
        sa.Column("from_ms", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", text(20), nullable=False),
        sa.Column("route", text(120), nullable=False),
        sa.Column("client", text(60), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key_id", "from_ms", "kind", "route", "client", name="pk_key_uses"),
        sqlite_with_rowid=False,
    )
