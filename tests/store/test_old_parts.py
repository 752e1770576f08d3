"""What was received long ago is compressed harder, if a setting says so: parts keep their events and their answers."""

from collections.abc import Iterator

import pytest

from headrace.model.entries import Record
from headrace.model.event import Tenant, first_position
from headrace.model.filters import Dimension, Filters, Page
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.old_parts import recompress
from tests.engine import dsn, event_of, fresh_tenant, record_at
from tests.waiting import until

DAY_S = 86_400
YEAR_2033_MS = 1_988_150_400_000  # not yet: no part of that month is old
HARDER, USUAL = "ZSTD(12)", "ZSTD(3)"


@pytest.fixture
def store(clickhouse: ClickHouseStore) -> Iterator[ClickHouseStore]:
    with clickhouse.engine.writers.lend() as client:
        client.command("TRUNCATE TABLE events")
    yield clickhouse
    recompress(clickhouse.engine, 0)


def table(store: ClickHouseStore) -> str:
    with store.engine.writers.lend() as client:
        return str(client.command("SHOW CREATE TABLE events"))


def codecs(store: ClickHouseStore) -> dict[str, set[str]]:
    """By month, those of its parts."""
    sql = (
        "SELECT partition, groupUniqArray(default_compression_codec) FROM system.parts "
        "WHERE database = currentDatabase() AND table = 'events' AND active GROUP BY partition"
    )
    with store.engine.writers.lend() as client:
        rows = client.query(sql).result_rows
    return {month: set(found) for month, found in rows}


def received(tenant: Tenant, start_ms: int) -> list[Record]:
    """A few of its events, received from then on."""
    return [
        record_at(
            first_position(start_ms) + number,
            event_of(
                tenant,
                name=f"n{number % 3}",
                user_id=f"u{number % 5}",
                timestamp_ms=start_ms + number,
                properties=f'{{"a":{number}}}',
                numbers={"a": number},
                tags={"k": str(number)},
            ),
        )
        for number in range(200)
    ]


def seen(store: ClickHouseStore, tenant: Tenant, records: list[Record]) -> list[object]:
    page = store.events(tenant, Filters(), Page(limit=1000))
    return [
        page.total,
        page.events,
        store.stats(tenant, Filters(), Dimension("property", "a")),
        store.stored([each.id for each in records]),
    ]


# A month of its own for each: the engine compresses those of one month again at most every four hours.
@pytest.mark.parametrize(
    ("is_set_first", "start_ms", "month"), [(True, 1_556_000_000_000, "201904"), (False, 1_558_500_000_000, "201905")]
)
def test_parts_whose_events_are_old_are_compressed_harder_and_answers_stay(
    store: ClickHouseStore, is_set_first: bool, start_ms: int, month: str
) -> None:
    tenant = fresh_tenant()
    old, new = received(tenant, start_ms), received(tenant, YEAR_2033_MS)
    if is_set_first:
        recompress(store.engine, 30 * DAY_S)
    store.insert(old)
    store.insert(new)
    before = seen(store, tenant, [*old, *new])
    assert before[0] == 400
    recompress(store.engine, 30 * DAY_S)
    found = until(lambda: codecs(store), lambda found: HARDER in found[month])
    assert found == {month: {HARDER}, "203301": {USUAL}}
    assert seen(store, tenant, [*old, *new]) == before
    store.erase([old[7].id])
    assert seen(store, tenant, [*old, *new])[0] == 399


def test_the_table_is_changed_only_when_the_setting_is(store: ClickHouseStore) -> None:
    def opened(after_s: float | None) -> str:
        other = ClickHouseStore(dsn(), recompress_after_s=after_s)
        other.close()
        return table(store)

    without = table(store)
    assert "RECOMPRESS" not in without
    assert opened(0) == without
    month = opened(30 * DAY_S)
    assert f"toIntervalSecond(2592000) RECOMPRESS CODEC({HARDER})" in month
    with store.engine.writers.lend() as client:
        mutations = "SELECT count() FROM system.mutations WHERE table = 'events'"
        changes = client.command(mutations)
        assert opened(30 * DAY_S) == opened(None) == month
        assert client.command(mutations) == changes
    assert "toIntervalSecond(5184000)" in opened(60 * DAY_S)
    assert opened(0) == without
