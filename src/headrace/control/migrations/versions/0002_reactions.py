"""Rules, and what reactions remember and cause. There is no way down: a backup is."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "rule_sets",
        sa.Column("id", _NUMBER, nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("applied_at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rule_sets"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_rule_sets_project"),
    )
    op.create_index("ix_rule_sets_project", "rule_sets", ["project"])
    op.create_table(
        "rules",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("rule_id", sa.String(64), nullable=False),
        sa.Column("version", sa.String(16), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("failed_event", sa.String(32), nullable=False),
        sa.Column("failed_why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_rules"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_rules_project"),
        sa.UniqueConstraint("project", "kind", "rule_id", "version", name="uq_rules_project"),
    )
    op.create_table(
        "participants",
        sa.Column("no", _NUMBER, nullable=False),
        sa.Column("project", sa.String(100), nullable=False),
        sa.Column("mode", sa.String(4), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("no", name="pk_participants"),
        sa.UniqueConstraint("project", "mode", "name", name="uq_participants_project"),
    )
    op.create_table(
        "markers",
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("counted", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name="pk_markers"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "effects",
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("participant_no", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "rule_no", "ordinal", "generation", name="pk_effects"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_effects_participant_no", "effects", ["participant_no", "event_id"])
    op.create_table(
        "standings",
        sa.Column("participant_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("completions", sa.BigInteger(), nullable=False),
        sa.Column("best", sa.Text(), nullable=False),
        sa.Column("rank", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("participant_no", "rule_no", name="pk_standings"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_standings_rule_no", "standings", ["rule_no", "completions", "rank"])
    op.create_table(
        "buckets",
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("participant_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("rule_no", "participant_no", "bucket", name="pk_buckets"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "awards",
        sa.Column("participant_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("badge", sa.String(64), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("participant_no", "badge", name="pk_awards"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_awards_badge", "awards", ["badge", "participant_no"])
    op.create_table(
        "points",
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("rule_no", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("participant_no", sa.BigInteger(), nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", "rule_no", "ordinal", name="pk_points"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_points_participant_no", "points", ["participant_no"])
