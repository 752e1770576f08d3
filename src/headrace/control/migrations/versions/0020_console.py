"""Sessions of the console, and what tells this server's cookies from those of others on the same host."""

import secrets

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.create_table(
        "console_sessions",
        sa.Column("id", text(40), nullable=False),
        sa.Column("hash", text(64), nullable=False),
        sa.Column("is_operator", sa.Boolean(), nullable=False),
        sa.Column("keys", text(), nullable=False),
        sa.Column("proof", text(64), nullable=False),
        sa.Column("address", text(64), nullable=False),
        sa.Column("created_at_ms", sa.BigInteger(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_console_sessions"),
        sa.UniqueConstraint("hash", name="uq_console_sessions_hash"),
    )
    op.create_table(
        "instance",
        sa.Column("id", text(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
    )
    instance = sa.table("instance", sa.column("id"))
    op.execute(sa.insert(instance).values(id=secrets.token_hex(4)))
