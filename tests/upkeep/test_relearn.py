"""Lost keys are learnt again: each with the place where it was first given, among events that still exist."""

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.entries import ErasedEvent, Record
from headrace.model.event import Event, encode, first_position
from headrace.model.quarantine import Quarantined
from headrace.model.repeats import dedup_key
from headrace.upkeep import relearn as module
from headrace.upkeep.relearn import relearn
from tests.fakes import MemoryErasedEvents, MemoryQuarantine, MemoryStore

NOW_MS = 1_736_899_200_000
START = first_position(NOW_MS)


class LostKeys:
    """A log that lost its keys between two positions. `known`: what it was taught; `done`: whether that was said to be all."""

    def __init__(self, lost: tuple[int, int] | None) -> None:
        self._lost = lost
        self.known: dict[bytes, tuple[int, int]] = {}
        self.done: list[bool] = []

    def lost_keys(self) -> tuple[int, int] | None:
        return self._lost

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        assert not any(self.done), "nothing may be taught after the end"
        self.known |= given
        self.done.append(done)


def event(message_id: str) -> Event:
    return Event("p", "live", "flux", "n", NOW_MS, message_id=message_id)


def at(seconds: float) -> int:
    return first_position(NOW_MS + int(seconds * 1000))


def stored(*events: tuple[int, str]) -> MemoryStore:
    store = MemoryStore()
    for position, message_id in events:
        store.insert([Record(position, 7, encode(event(message_id)))])
    return store


def test_a_log_that_lost_nothing_is_taught_nothing() -> None:
    log = LostKeys(None)
    assert relearn(log, stored((START, "m")), MemoryErasedEvents(), MemoryQuarantine()) == 0
    assert log.done == []


@given(
    st.lists(
        st.tuples(st.sampled_from([-40, 0, 1, 7, 8, 3600, 4000]), st.sampled_from(["", *"abcdefgh"])), max_size=40
    ),
    st.integers(10, 12),  # fewer would not let the steps grow again
    st.integers(1, 90),
)
@settings(max_examples=50)
def test_each_key_leads_to_its_first_event_however_much_is_read_at_once(
    events: list[tuple[int, str]], most: int, span_s: int
) -> None:
    placed = {at(seconds) + number * 64: name for number, (seconds, name) in enumerate(events)}
    after, end = at(0), at(3600)
    log = LostKeys((after, end))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST", most)
        patch.setattr(module, "_FIRST_SPAN", first_position(span_s * 1000))
        count = relearn(log, stored(*placed.items()), MemoryErasedEvents(), MemoryQuarantine())
    lost = sorted((position, name) for position, name in placed.items() if name and after < position <= end)
    first = {dedup_key(event(name)): (position, 7) for position, name in reversed(lost)}
    assert (log.known, count) == (first, len(lost))
    assert log.done[-1]


def test_keys_of_what_was_erased_or_put_aside_stay_known_and_give_way_to_an_event_that_is_there() -> None:
    erased, aside = MemoryErasedEvents(), MemoryQuarantine()
    keys = {name: dedup_key(event(name)) for name in ("erased", "aside", "again", "outside")}
    erased.add([ErasedEvent(at(1), 8, keys["erased"]), ErasedEvent(at(2), 8, keys["again"]), ErasedEvent(at(3), 8)])
    erased.add([ErasedEvent(at(-1), 8, keys["outside"])])
    aside.add([Quarantined(at(4), 9, 0, "torn", b"?", keys["aside"], 1)])
    aside.add([Quarantined(at(5), 9, 0, "torn", b"?", b"", 1)])
    log = LostKeys((at(0), at(60)))
    assert relearn(log, stored((at(30), "again")), erased, aside) == 4
    assert log.known == {keys["erased"]: (at(1), 8), keys["aside"]: (at(4), 9), keys["again"]: (at(30), 7)}


def test_long_quiet_times_take_few_questions() -> None:
    """A year without events is passed in steps that double, and not minute by minute."""
    store, asked = stored((at(1), "m")), list[int]()
    ask = store.keyed

    def keyed(after: int, upto: int, /, limit: int) -> object:
        asked.append(upto)
        return ask(after, upto, limit)

    store.keyed = keyed  # type: ignore[method-assign, assignment]
    log = LostKeys((at(0), at(365 * 86_400)))
    assert relearn(log, store, MemoryErasedEvents(), MemoryQuarantine()) == 1
    assert len(asked) < 30


def test_more_keys_than_fit_into_memory_are_learnt_in_several_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST", 10)
    log = LostKeys((at(0), at(60)))
    store = stored(*((at(7) + number * 64, f"m{number}") for number in range(35)))
    assert relearn(log, store, MemoryErasedEvents(), MemoryQuarantine()) == len(log.known) == 35
