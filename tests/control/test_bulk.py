"""Many rows by one statement are written as SQLAlchemy would write them, one by one."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from headrace.control.bulk import execute_many

metadata = sa.MetaData()
things = sa.Table(
    "things",
    metadata,
    sa.Column("no", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("share", sa.Float),
    sa.Column("open", sa.Boolean),
    sa.Column("made", sa.Integer, default=lambda: 7),
)
ROWS = [{"no": number, "name": f"ä{number}", "share": number / 3, "open": number % 2 == 0} for number in range(5)]


@pytest.fixture
def connection() -> Iterator[sa.Connection]:
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        metadata.create_all(connection)
        yield connection
    engine.dispose()


@pytest.mark.parametrize("columns", [("no", "name"), ("name",), ("no", "name", "share", "open")])
def test_rows_are_written_as_one_by_one(connection: sa.Connection, columns: tuple[str, ...]) -> None:
    rows = [{name: row[name] for name in columns} for row in ROWS]
    found: list[object] = []
    for way in ("at once", "one by one"):
        if way == "at once":
            execute_many(connection, sa.insert(things), rows)
        else:
            for row in rows:
                connection.execute(sa.insert(things), row)
        found.append(connection.execute(sa.select(things).order_by(things.c.name)).all())
        connection.execute(sa.delete(things))
    assert found[0] == found[1]


def test_conflicts_and_bound_parameters_are_kept(connection: sa.Connection) -> None:
    execute_many(connection, sa.insert(things), ROWS)
    statement = insert(things)
    again = [row | {"name": "new"} for row in ROWS[:2]]
    execute_many(
        connection,
        statement.on_conflict_do_update(index_elements=["no"], set_={"name": statement.excluded.name}),
        again,
    )
    execute_many(connection, sa.delete(things).where(things.c.no == sa.bindparam("b_no")), [{"b_no": 2}, {"b_no": 3}])
    execute_many(connection, sa.insert(things), [])
    assert connection.execute(sa.select(things.c.no, things.c.name).order_by(things.c.no)).all() == [
        (0, "new"),
        (1, "new"),
        (4, "ä4"),
    ]


def test_a_row_that_cannot_be_written_fails_all_of_them(connection: sa.Connection) -> None:
    with pytest.raises(sa.exc.IntegrityError):
        execute_many(connection, sa.insert(things), [ROWS[0], ROWS[0]])
