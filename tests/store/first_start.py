"""Open a store in a process of its own, as a server does, and tell what is in it; or die on the way.

python -m tests.store.first_start FOLDER [die NTH_STATEMENT | forget SCHEMA_FILE | insert]
"""

import os
import signal
import sys

from clickhouse_connect.driver._backendclient import SyncBackendClient

from headrace.event import Tenant
from headrace.filters import Filters, Page
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import event_of, records_of

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


def main(folder: str, what: str = "", which: str = "") -> None:
    if what == "die":
        die_after(int(which))
    store = ClickHouseStore(f"chdb://{folder}")
    with store._writers.lend() as client:
        if what == "forget":
            client.command(
                "ALTER TABLE headrace_schema DELETE WHERE file = {file:String} SETTINGS mutations_sync = 2",
                {"file": which},
            )
        recorded = (
            client.raw_query("SELECT file FROM headrace_schema ORDER BY file", fmt="TabSeparated").decode().split()
        )
    if what == "insert":
        store.insert(records_of(event_of(TENANT, name=str(number)) for number in range(3)))
    print(",".join(recorded), len(store.events(TENANT, Filters(), Page(limit=9)).events))
    store.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
