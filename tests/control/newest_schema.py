"""Writes the file that a new database is made with, after a change of the migrations: python -m tests.control.newest_schema"""

import re
import tempfile
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from headrace.control import database

FILE = Path(database.__file__).parent / "migrations" / "newest.sql"


def migrate(path: Path) -> None:
    """Make a database by all the migrations, one after the other."""
    engine = sa.create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", "headrace.control:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
    engine.dispose()


def dump(path: Path) -> str:
    """The statements that make the tables and indexes of a database, and say which version it is."""
    engine = sa.create_engine(f"sqlite:///{path}")
    asked = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    with engine.connect() as connection:
        made = [re.sub(r" +\n", "\n", sql.strip()) for (sql,) in connection.execute(sa.text(asked))]
        version = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
    engine.dispose()
    return ";\n".join([*made, f"INSERT INTO alembic_version VALUES ('{version}')"]) + "\n"


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        migrate(Path(folder) / "control.sqlite3")
        FILE.write_text(
            "-- Not written by hand: python -m tests.control.newest_schema\n" + dump(Path(folder) / "control.sqlite3")
        )
