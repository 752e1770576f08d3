"""Every event of one store is moved into another one, over HTTP: what is left half done, what lands late, what differs."""

from collections.abc import Iterator

import pytest

from headrace.model.errors import SettingsError
from headrace.model.event import Event, Tenant, first_position
from headrace.model.times import DAY_MS
from headrace.ports.store import StoreFailed
from headrace.store import moving
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.engine import Engine
from headrace.store.migrations import migrate
from headrace.store.moving import MovedEvents, MoveTarget
from headrace.store.queries.conditions import Query
from headrace.store.queries.moving import columns
from headrace.upkeep.moving import move_events
from tests.clickhouse_face import Face, face
from tests.engine import NOW_MS, event_of, record_at

__all__ = ["face"]
DAYS, A_DAY = 3, 7


class Pair:
    """A store with events of some days and tenants, and an empty one, both reached over the face."""

    def __init__(self, face: Face, old: ClickHouseStore, url: str) -> None:
        self.face = face
        self.old = old
        self.new = Engine(url, query_timeout_s=30, query_max_memory_bytes=1 << 29)
        migrate(self.new)
        self.source, self.target = MovedEvents(old.engine), MoveTarget(self.new)
        self.lots = 0

    def move(self, die_after: int = 0) -> int:
        """Move, or fail after so many lots."""

        def on_step(_step: str) -> None:
            self.lots += 1
            if self.lots == die_after:
                raise InterruptedError

        self.lots = 0
        self.target.begin("s")
        return move_events(self.source, self.target, lambda _done, _total: None, on_step)

    def rows(self, engine: Engine) -> bytes:
        named = ", ".join(f"toString({name})" for name in self.target.columns())
        return engine.tell(Query(f"SELECT {named} FROM events ORDER BY position, tail", {}))

    def command(self, sql: str) -> None:
        self.new.command(Query(sql, {}))


def event(number: int) -> Event:
    tenant = Tenant("p" if number % 2 else "q'\t", "live" if number % 3 else "test")
    odd: dict[str, object] = {
        "name": f"n{number}\0\n",
        "user_id": f"ü{number}",
        "value": number / 3 if number % 2 else None,
        "properties": b'{"a": "\\u0000\\t\\\\N"}',
        "tags": {"plan": "pro", "k\t": "v\n"},
        "message_id": f"m{number}",
        "sent_at_ms": NOW_MS if number % 2 else None,
    }
    return event_of(tenant, **odd)


@pytest.fixture
def pair(face: Face, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    monkeypatch.setattr(moving, "_LOT", 3)
    old = ClickHouseStore(face.url(), hot_tags=("plan",))  # which has a column for itself
    for day in range(DAYS):
        first = first_position(NOW_MS + day * DAY_MS)
        old.insert([record_at(first + number * 64, event(day * A_DAY + number)) for number in range(A_DAY)])
    pair = Pair(face, old, face.url())
    yield pair
    face.amid_insert = face.after_insert = lambda: None
    old.close()
    pair.new.close()


def test_every_event_is_moved_as_it_is(pair: Pair) -> None:
    assert pair.move() == DAYS * A_DAY
    assert pair.rows(pair.new) == pair.rows(pair.old.engine)
    assert pair.lots == DAYS * 3
    assert [(day.name, day.events) for day in pair.target.days()] == [
        ("2025-01-15", 7),
        ("2025-01-16", 7),
        ("2025-01-17", 7),
    ]
    pair.target.end()
    assert not moving.is_being_filled(pair.new)
    assert pair.target.runs() == []


@pytest.mark.parametrize("lots", [1, 2, 3, 9])
def test_a_move_that_ended_anywhere_is_gone_on_with(pair: Pair, lots: int) -> None:
    with pytest.raises(InterruptedError):
        pair.move(die_after=lots)
    pair.move()
    assert pair.lots == DAYS * 3 - lots, "nothing is moved twice"
    assert pair.rows(pair.new) == pair.rows(pair.old.engine)


@pytest.mark.parametrize(
    "spoil",
    [
        "INSERT INTO events (position, tail) SELECT position, tail FROM events LIMIT 1",
        "ALTER TABLE events DELETE WHERE user_id = 'ü1' SETTINGS mutations_sync = 2",
        "ALTER TABLE events UPDATE properties = '{}' WHERE user_id = 'ü8' SETTINGS mutations_sync = 2",
    ],
)
def test_a_day_that_differs_is_moved_again(pair: Pair, spoil: str) -> None:
    pair.move()
    pair.command(spoil)
    pair.move()
    assert pair.lots == 3, "the one day"
    assert pair.rows(pair.new) == pair.rows(pair.old.engine)


def test_an_insert_of_a_run_that_was_killed_stores_nothing_any_more(pair: Pair) -> None:
    day = pair.source.days()[0]
    pair.target.begin("s")
    late = pair.source.rows(pair.target.columns(), pair.target.fence, day.after, day.upto)
    fence = pair.target.fence
    pair.move()
    pair.target.fence = fence
    with pytest.raises(StoreFailed, match="later run"):
        pair.target.insert(pair.target.columns(), late)
    assert pair.rows(pair.new) == pair.rows(pair.old.engine)


def test_an_insert_whose_reply_is_lost_is_not_sent_twice(pair: Pair) -> None:
    def lose() -> None:
        pair.face.after_insert = lambda: None
        raise ConnectionError

    pair.target.begin("s")
    pair.face.after_insert = lose
    with pytest.raises(StoreFailed):
        move_events(pair.source, pair.target, lambda _done, _total: None, lambda _step: None)
    pair.move()
    assert pair.rows(pair.new) == pair.rows(pair.old.engine)


def test_days_that_the_folder_does_not_have_are_told_of(pair: Pair) -> None:
    pair.command(f"INSERT INTO events (position, tail) VALUES ({first_position(NOW_MS - DAY_MS)}, 7)")
    with pytest.raises(SettingsError, match="same events of 2025-01-14"):
        pair.move()


def test_columns_of_tags_and_what_is_computed_are_not_moved(pair: Pair) -> None:
    here = [name for name, _ in (row.split(b"\t") for row in pair.old.engine.tell(columns()).splitlines())]
    assert b"tags" in here
    assert not [name for name in here if name.startswith((b"tag_", b"slot", b"timestamp_ms"))]
