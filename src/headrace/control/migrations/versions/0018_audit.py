"""Keys have names, a time of last use and successors; what admins do is audited."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0018"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("keys", sa.Column("name", text(100), nullable=False, server_default=""))
    op.add_column("keys", sa.Column("last_used_at_ms", sa.BigInteger()))
    op.add_column("keys", sa.Column("replaced_by", text(40)))
    op.create_index("ix_keys_project", "keys", ["project", "mode", "created_at_ms", "id"])
    op.create_table(
        "audit",
        sa.Column("no", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("by_kind", text(10), nullable=False),
        sa.Column("by_key", text(40), nullable=False),
        sa.Column("by_prefix", text(40), nullable=False),
        sa.Column("by_name", text(100), nullable=False),
        sa.Column("address", text(255), nullable=False),
        sa.Column("action", text(60), nullable=False),
        sa.Column("target", text(), nullable=False),
        sa.Column("person", text(16), nullable=False),
        sa.Column("detail", text(), nullable=False),
        sa.Column("outcome", text(10), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_audit"),
    )
    op.create_index("ix_audit_project", "audit", ["project", "mode", "no"])
    op.create_index("ix_audit_at_ms", "audit", ["at_ms"])
