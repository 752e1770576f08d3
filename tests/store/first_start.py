"""Open a store in a process of its own, as a server does, and tell what is in it; or die on the way.

python -m tests.store.first_start FOLDER [die NTH_STATEMENT | forget SCHEMA_FILE | insert | tables | old | unrecorded]
"""

import os
import signal
import sys
from importlib import resources

import clickhouse_connect
from clickhouse_connect.driver._backendclient import SyncBackendClient

from headrace.assembly.logs import configure
from headrace.model.event import Tenant, first_position
from headrace.model.filters import Filters, Page
from headrace.model.settings import Settings
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries.events import INPUT_COLUMNS
from tests.engine import NOW_MS, event_of, record_at, records_of

TENANT = Tenant("p", "live")


def die_after(nth: int) -> None:
    """SIGKILL once the engine has done the nth command; the first is the client's own greeting."""
    command = SyncBackendClient.command
    done = 0

    def counted(*given: object, **named: object) -> object:
        nonlocal done
        answer = command(*given, **named)  # pyright: ignore[reportArgumentType]
        done += 1
        if done == nth:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    SyncBackendClient.command = counted  # pyright: ignore[reportAttributeAccessIssue]


def begin_with_the_first_schema(folder: str, *, is_recorded: bool) -> None:
    """A store as 0001 left it, with three events in two months and two parts. is_recorded: otherwise a crash came before that."""
    client = clickhouse_connect.get_client(dsn=f"chdb://{folder}")
    client.command(
        "CREATE TABLE headrace_schema (file String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) "
        "ENGINE = MergeTree ORDER BY file"
    )
    client.command((resources.files("headrace.store") / "schema" / "0001_events.sql").read_text())
    if is_recorded:
        client.command("INSERT INTO headrace_schema (file) VALUES ('0001_events.sql')")
    records = records_of(event_of(TENANT, name=str(number), tags={"k": "v"}, sent_at_ms=5) for number in range(2))
    last = first_position(NOW_MS + 40 * 86_400_000)
    records.append(record_at(last, event_of(TENANT, name="2", timestamp_ms=NOW_MS - 1, labels={"a": "b"})))
    for some in (records[:2], records[2:]):
        rows = b"\n".join(
            b'{"position":%d,"id":"%b",%b' % (each.position, each.id.encode(), each.payload[1:]) for each in some
        )
        columns = ["id" if column == "tail" else column for column in INPUT_COLUMNS]
        client.raw_insert("events", columns, insert_block=rows, fmt="JSONEachRow")
    client.close()
    print("0001_events.sql 3", *(f"{each.id}={name}" for each, name in zip(records, "012", strict=True)))


def main(folder: str, what: str = "", which: str = "") -> None:
    configure(Settings())  # stdout is for what this prints
    if what in ("old", "unrecorded"):
        begin_with_the_first_schema(folder, is_recorded=what == "old")
        return
    if what == "die":
        die_after(int(which))
    store = ClickHouseStore(f"chdb://{folder}")
    with store.engine.writers.lend() as client:
        if what == "forget":
            client.command(
                "ALTER TABLE headrace_schema DELETE WHERE file = {file:String} SETTINGS mutations_sync = 2",
                {"file": which},
            )
        recorded = (
            client.raw_query("SELECT file FROM headrace_schema ORDER BY file", fmt="TabSeparated").decode().split()
        )
        if what == "tables":
            asked = "SELECT create_table_query FROM system.tables WHERE database = currentDatabase() AND name != 'headrace_schema' ORDER BY name"
            print(client.raw_query(asked, fmt="TabSeparatedRaw").decode())
            return
    if what == "insert":
        store.insert(records_of(event_of(TENANT, name=str(number)) for number in range(3)))
    found = store.events(TENANT, Filters(), Page(limit=9))
    print(",".join(recorded), found.total, *(f"{event.id}={event.name}" for event in found.events))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
