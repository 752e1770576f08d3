"""Brings the schema up to date as the store is opened."""

from collections.abc import Iterable
from importlib import resources
from importlib.resources.abc import Traversable

from clickhouse_connect.driver.client import Client

from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.queries import fence as queries
from headrace.store.queries.place import Place

_NEWEST = "newest.sql"  # what all the others make of nothing
_ONE_SERVER, _CLUSTER = "schema", "schema/on_cluster"
_NEEDED = "materialize_projections_on_merge"  # the newest setting in the schema
_TESTED = "26.9"
_MADE = (
    "CREATE TABLE IF NOT EXISTS headrace_schema (file String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
    "ENGINE = MergeTree ORDER BY file SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
)
_MADE_IN_KEEPER = (
    "CREATE TABLE IF NOT EXISTS $database.headrace_schema$on (file String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
    "ENGINE = KeeperMap('/headrace/$cluster/$name/headrace_schema') PRIMARY KEY file"
)
_LAST_TABLE = "asked"  # that the files for a cluster make


def migrate(engine: Engine, /) -> None:
    """Run the schema files not yet recorded, in order. A file may run again after a crash before it was recorded.

    A store without tables gets the newest ones at once, and every file is recorded. Raises ClickHouseError, and StoreFailed for
    tables of a newer headrace, or an engine that is too old.
    """
    with engine.writers.lend() as client:
        asked = "SELECT version(), count() FROM system.merge_tree_settings WHERE name = {name:String}"
        version, there = client.raw_query(asked, {"name": _NEEDED}, fmt="TabSeparated").decode().split()
        if there == "0":
            raise StoreFailed(
                f"it is ClickHouse {version}, which is too old: it lacks the setting {_NEEDED}; use {_TESTED} or newer"
            )
        place = engine.place
        if place.cluster:
            engine.shape()  # raises if events would not be safe there
        client.command(place.filled(_MADE_IN_KEEPER) if place.cluster else _MADE)
        applied, files = _applied(client), _files(place)
        if unknown := sorted(applied - files.keys()):
            raise StoreFailed(
                f"a newer headrace made its tables ({unknown[-1]}): run the headrace that made them, or a newer one"
            )
        if place.cluster:
            # A node that has come in place of another lacks the tables: every statement can be repeated there.
            for name in sorted(files.keys() - applied if _are_everywhere(client, engine) else files):
                _run(client, files[name], place)
                _record(client, [name])
            return
        if not applied and _is_new(client):
            _run(client, resources.files("headrace.store") / "schema" / _NEWEST, place)
            _record(client, sorted(files))
            return
        for name in sorted(files.keys() - applied):
            _run(client, files[name], place)
            _record(client, [name])


def _is_new(client: Client) -> bool:
    """Whether a store of which nothing is recorded has no tables, or those of a first start that was cut off.

    One with `events` and without `erasing` is left by an old headrace whose own first start was cut off.
    """
    tables = client.raw_query("SHOW TABLES", fmt="TabSeparated").decode().split()
    return "events" not in tables or "erasing" in tables


def _are_everywhere(client: Client, engine: Engine) -> bool:
    """Whether each node of a cluster has the tables."""
    query = queries.nodes_with(engine.place, _LAST_TABLE)
    return int(client.raw_query(query.sql, query.params, fmt="TabSeparated")) == engine.shape().nodes


def _run(client: Client, file: Traversable, place: Place) -> None:
    for statement in file.read_text().split(";\n"):
        if statement.strip():
            client.command(place.filled(statement) if place.cluster else statement)


def _record(client: Client, names: Iterable[str]) -> None:
    """All of them or none."""
    client.command("INSERT INTO headrace_schema (file) SELECT arrayJoin({files:Array(String)})", {"files": list(names)})


def require_current(engine: Engine, /) -> None:
    """Raises StoreFailed unless the owner of the store has brought its schema up to date, ClickHouseError."""
    with engine.writers.lend() as client:
        if client.command("EXISTS TABLE headrace_schema") != 1 or not _files(engine.place).keys() <= _applied(client):
            raise StoreFailed(
                "The store's tables are not up to date yet: the coordinating worker sees to that as it starts."
            )


def _files(place: Place) -> dict[str, Traversable]:
    """The numbered schema files by their names."""
    folder = resources.files("headrace.store") / (_CLUSTER if place.cluster else _ONE_SERVER)
    return {file.name: file for file in folder.iterdir() if file.name.endswith(".sql") and file.name != _NEWEST}


def _applied(client: Client) -> set[str]:
    """The names of the files recorded."""
    return set(client.raw_query("SELECT file FROM headrace_schema", fmt="TabSeparated").decode().split())
