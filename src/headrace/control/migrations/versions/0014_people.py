"""People: ids, what joined them, what they are found by, and groups."""

import sqlalchemy as sa
from alembic import op

from headrace.control.text import text

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "person_ids",
        sa.Column("no", number, nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("id", text(255), nullable=False),
        sa.Column("person_no", sa.BigInteger(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("traits", text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_person_ids"),
        sa.UniqueConstraint("project", "mode", "id", name="uq_person_ids_project"),
    )
    op.create_index("ix_person_ids_person_no", "person_ids", ["person_no"])
    op.create_index(
        "ix_person_ids_people",
        "person_ids",
        ["project", "mode", "no"],
        sqlite_where=sa.text("person_no = no"),
        postgresql_where=sa.text("person_no = no"),
    )
    op.create_table(
        "person_joins",
        sa.Column("kept_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("other_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", text(10), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("undone", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("kept_no", "other_no", name="pk_person_joins"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_person_joins_other_no", "person_joins", ["other_no"])
    op.create_table(
        "person_terms",
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("term", text(200), nullable=False),
        sa.Column("id_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("project", "mode", "term", "id_no", name="pk_person_terms"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "person_groups",
        sa.Column("no", number, nullable=False),
        sa.Column("project", text(100), nullable=False),
        sa.Column("mode", text(4), nullable=False),
        sa.Column("type", text(60), nullable=False),
        sa.Column("key", text(255), nullable=False),
        sa.Column("traits", text(), nullable=False),
        sa.Column("first_ms", sa.BigInteger(), nullable=False),
        sa.Column("last_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_person_groups"),
        sa.UniqueConstraint("project", "mode", "type", "key", name="uq_person_groups_project"),
    )
    op.create_index("ix_person_groups_last_ms", "person_groups", ["project", "mode", "last_ms"])
    op.create_table(
        "group_members",
        sa.Column("group_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("id_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("joined_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_no", "id_no", name="pk_group_members"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_group_members_id_no", "group_members", ["id_no"])
