"""The one ClickHouse that a test process can hold, shared by all its tests: each takes a project of its own.

chDB opens one path for the life of a process. So tests that need a second store start a second process.
"""

import atexit
import itertools
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from functools import cache

import pytest

from headrace.model.entries import Record
from headrace.model.event import Event, Tenant, encode, first_position
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.queries.own_columns import COUNTED_BY, PREFIX, counts_of
from tests.in_memory import place

NOW_MS = 1_736_899_200_000  # 2025-01-15
_positions = itertools.count(first_position(NOW_MS))
_projects = itertools.count(1)


@cache
def dsn() -> str:
    folder = tempfile.mkdtemp(prefix="headrace-test-store-", dir=place())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return f"chdb://{folder}"


@pytest.fixture(scope="module", autouse=True)
def emptied(request: pytest.FixtureRequest) -> None:
    """Each file of tests begins with an empty table: whatever changes it would rewrite millions of rows that others have left."""
    uses_it = any(getattr(each, "__module__", "") == __name__ for each in vars(request.module).values())
    if uses_it and dsn.cache_info().currsize:
        store = ClickHouseStore(dsn())
        empty(store)
        store.close()


def empty(store: ClickHouseStore, /) -> None:
    """No event of any tenant is left: each change of the table looks into every part that there is."""
    with store.engine.writers.lend() as client:
        client.command("TRUNCATE TABLE events")


@pytest.fixture(scope="session")
def clickhouse() -> Iterator[ClickHouseStore]:
    store = ClickHouseStore(dsn(), hot_tags=("plan", "é"))
    yield store
    store.close()


def fresh_tenant() -> Tenant:
    """A tenant that no other test knows."""
    return Tenant(f"fresh-{next(_projects)}", "live")


def event_of(tenant: Tenant, /, **fields: object) -> Event:
    """An event with little in it, save what a test says."""
    usual: dict[str, object] = {"source": "flux", "name": "n", "timestamp_ms": NOW_MS}
    return Event(project=tenant.project, mode=tenant.mode, **usual | fields)  # pyright: ignore[reportArgumentType]


def records_of(events: Iterable[Event], /) -> list[Record]:
    """Events as the log would hand them over, at positions that no other test has."""
    return [Record(position, 7, encode(event)) for event, position in zip(events, _positions, strict=False)]


def record_at(position: int, event: Event, /) -> Record:
    return Record(position, 7, encode(event))


def drop_own_columns(store: ClickHouseStore, /) -> None:
    """All of them in one go: each change of the table rewrites every part that other tests have left in it."""
    names = [column.name for column in store.own.own_columns() if column.name.startswith(PREFIX)]
    if names:
        with store.engine.writers.lend() as client:
            counts = ", ".join(
                f"DROP PROJECTION IF EXISTS {counts_of(name, by)}" for name in names for by in COUNTED_BY
            )
            client.command(f"ALTER TABLE events {counts} SETTINGS mutations_sync = 2")
            each = ", ".join(f"DROP COLUMN {name}" for name in names)
            client.command(f"ALTER TABLE events {each} SETTINGS mutations_sync = 2")
