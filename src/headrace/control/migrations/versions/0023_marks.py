"""Which people an erasure was about, as hashes, and the folders that hold backups of them."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    op.add_column("erasures", sa.Column("marks", text(), nullable=False, server_default="[]"))
    op.create_table(
        "backup_folders",
        sa.Column("path", text(), nullable=False),
        sa.Column("used_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("path", name="pk_backup_folders"),
    )
