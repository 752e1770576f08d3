"""Brings the schema up to date as the store is opened."""

from importlib import resources
from importlib.resources.abc import Traversable

from clickhouse_connect.driver.client import Client

from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine

_NEEDED = "materialize_projections_on_merge"  # the newest setting in the schema
_TESTED = "26.9"


def migrate(engine: Engine, /) -> None:
    """Run the schema files not yet recorded, in order. A file may run again after a crash before it was recorded.

    Raises ClickHouseError, and StoreFailed for tables of a newer headrace, or an engine that is too old.
    """
    with engine.writers.lend() as client:
        asked = "SELECT version(), count() FROM system.merge_tree_settings WHERE name = {name:String}"
        version, there = client.raw_query(asked, {"name": _NEEDED}, fmt="TabSeparated").decode().split()
        if there == "0":
            raise StoreFailed(
                f"it is ClickHouse {version}, which is too old: it lacks the setting {_NEEDED}; use {_TESTED} or newer"
            )
        client.command(
            "CREATE TABLE IF NOT EXISTS headrace_schema (file String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
            "ENGINE = MergeTree ORDER BY file SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        )
        folder = resources.files("headrace.store") / "schema"
        if unknown := sorted(set(_applied(client)) - {file.name for file in folder.iterdir()}):
            raise StoreFailed(
                f"a newer headrace made its tables ({unknown[-1]}): run the headrace that made them, or a newer one"
            )
        for file in _lacking(client):
            for statement in file.read_text().split(";\n"):
                if statement.strip():
                    client.command(statement)
            client.command("INSERT INTO headrace_schema (file) VALUES ({file:String})", {"file": file.name})


def require_current(engine: Engine, /) -> None:
    """Raises StoreFailed unless the owner of the store has brought its schema up to date, ClickHouseError."""
    with engine.writers.lend() as client:
        if client.command("EXISTS TABLE headrace_schema") != 1 or _lacking(client):
            raise StoreFailed(
                "The store's tables are not up to date yet: the coordinating worker sees to that as it starts."
            )


def _lacking(client: Client) -> list[Traversable]:
    """The schema files that are not recorded yet, in order."""
    applied = _applied(client)
    folder = resources.files("headrace.store") / "schema"
    files = [file for file in folder.iterdir() if file.name.endswith(".sql") and file.name not in applied]
    return sorted(files, key=lambda file: file.name)


def _applied(client: Client) -> list[str]:
    return client.raw_query("SELECT file FROM headrace_schema", fmt="TabSeparated").decode().split()
