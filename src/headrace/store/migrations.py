"""Brings the schema up to date as the store is opened."""

from importlib import resources

from headrace.store.engine import Engine


def migrate(engine: Engine, /) -> None:
    """Run the schema files not yet recorded, in order. A file may run again after a crash before it was recorded.

    Raises ClickHouseError.
    """
    with engine.writers.lend() as client:
        client.command(
            "CREATE TABLE IF NOT EXISTS headrace_schema (file String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
            "ENGINE = MergeTree ORDER BY file SETTINGS fsync_after_insert = 1, fsync_part_directory = 1"
        )
        applied = client.raw_query("SELECT file FROM headrace_schema", fmt="TabSeparated").decode().split()
        folder = resources.files("headrace.store") / "schema"
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.name.endswith(".sql") and file.name not in applied:
                for statement in file.read_text().split(";\n"):
                    if statement.strip():
                        client.command(statement)
                client.command("INSERT INTO headrace_schema (file) VALUES ({file:String})", {"file": file.name})
