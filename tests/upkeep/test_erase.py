"""Events are erased so that a crash between two steps, and a second attempt, lose neither the list nor a key of it."""

from collections.abc import Sequence

import pytest

from headrace.model.entries import ErasedEvent, Record
from headrace.model.event import Event, encode, event_id
from headrace.model.repeats import dedup_key
from headrace.ports.store import StoreFailed
from headrace.upkeep.erase import erase
from tests.fakes import MemoryErasedEvents, MemoryStore

NOW_MS = 1_736_899_200_000
FIRST, SECOND, THIRD = ((NOW_MS + number) << 20 for number in range(3))


class Store(MemoryStore):
    """`fails`: it cannot erase."""

    fails = False

    def erase(self, ids: Sequence[str], /) -> None:
        if self.fails:
            raise StoreFailed("told to")
        super().erase(ids)


def event(message_id: str) -> Event:
    return Event("p", "live", "flux", "n", NOW_MS, message_id=message_id)


def listed(erased: MemoryErasedEvents) -> list[ErasedEvent]:
    return [each for page in erased.pages(0, 1 << 63) for each in page]


def test_what_is_erased_is_gone_and_its_key_stays_known_also_if_the_first_attempt_failed() -> None:
    store, erased = Store(), MemoryErasedEvents()
    for position, message_id in ((FIRST, "m"), (SECOND, ""), (THIRD, "stays")):
        store.insert([Record(position, 7, encode(event(message_id)))])
    ids = [event_id(FIRST, 7), event_id(SECOND, 7)]
    wanted = [ErasedEvent(FIRST, 7, dedup_key(event("m"))), ErasedEvent(SECOND, 7, b"")]
    store.fails = True
    with pytest.raises(StoreFailed):
        erase(store, erased, ids)
    assert listed(erased) == wanted, "it is listed before it is removed: no start takes it for lost"
    assert store.last(0) == THIRD
    store.fails = False
    for _ in range(2):
        erase(store, erased, ids)
        assert listed(erased) == wanted
        assert store.present(0, 1 << 63) == {event_id(THIRD, 7)}
