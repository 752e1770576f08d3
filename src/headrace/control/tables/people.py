"""People, their ids and their groups."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Table, UniqueConstraint
from sqlalchemy import text as sql_text

from headrace.control.tables.base import Number, metadata
from headrace.control.text import text

person_ids = Table(  # ids that events use for people; ids with the same person_no are one person
    "person_ids",
    metadata,
    Column("no", Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("id", text(255), nullable=False),
    Column("person_no", BigInteger, nullable=False),  # number of the person's main id
    Column("known", Boolean, nullable=False),  # a user id, not an anonymous one
    Column("traits", text(), nullable=False),  # JSON: by name, [value, time, position, kind]
    UniqueConstraint("project", "mode", "id"),
    Index("ix_person_ids_person_no", "person_no"),
)
Index(  # main ids only: lists people in the order they were first seen
    "ix_person_ids_people",
    person_ids.c.project,
    person_ids.c.mode,
    person_ids.c.no,
    sqlite_where=sql_text("person_no = no"),
    postgresql_where=sql_text("person_no = no"),
)

person_joins = Table(  # why two ids are one person
    "person_joins",
    metadata,
    Column("kept_no", BigInteger, primary_key=True, autoincrement=False),
    Column("other_no", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("kind", text(10), nullable=False),
    Column("position", BigInteger, nullable=False),  # of the event that joined them
    Column("undone", Boolean, nullable=False),
    sqlite_with_rowid=False,
)

person_terms = Table(  # search terms other than ids
    "person_terms",
    metadata,
    Column("project", text(100), primary_key=True),
    Column("mode", text(4), primary_key=True),
    Column("term", text(200), primary_key=True),  # lower case
    Column("id_no", BigInteger, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

person_groups = Table(
    "person_groups",
    metadata,
    Column("no", Number, primary_key=True),
    Column("project", text(100), nullable=False),
    Column("mode", text(4), nullable=False),
    Column("type", text(60), nullable=False),
    Column("key", text(255), nullable=False),
    Column("traits", text(), nullable=False),  # as in person_ids
    Column("first_ms", BigInteger, nullable=False),  # first and last mention in an event
    Column("last_ms", BigInteger, nullable=False),
    UniqueConstraint("project", "mode", "type", "key"),
    Index("ix_person_groups_last_ms", "project", "mode", "last_ms"),
)

group_members = Table(
    "group_members",
    metadata,
    Column("group_no", BigInteger, primary_key=True, autoincrement=False),
    Column("id_no", BigInteger, primary_key=True, autoincrement=False, index=True),
    Column("joined_ms", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
