"""The list of entries that were put aside, on SQLite, on PostgreSQL 18 and in memory: durable, in order, and dropped for good."""

import msgspec
import pytest
from sqlalchemy import Engine

from headrace.control import quarantine
from headrace.control.quarantine import ControlQuarantine
from headrace.model.entries import ErasedEvent
from headrace.model.quarantine import Quarantined
from headrace.ports.quarantine import Quarantine
from tests.fakes import MemoryQuarantine

FIRST, END = 1_736_899_200_000 << 20, 2**63 - 1


@pytest.fixture
def listing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Quarantine:
    monkeypatch.setattr(quarantine, "_AT_ONCE", 3)
    return ControlQuarantine(engine)


def entry(number: int, kind: int = 0) -> Quarantined:
    payload, key = bytes([number, 0, 255]), bytes([number]) * 16
    return Quarantined(FIRST + number * 64, 2**54 - 1 - number, kind, f"why\0 {number}", payload, key, 1000 + number)


def places(listing: Quarantine, after: int = 0, upto: int = END) -> list[ErasedEvent]:
    return [each for page in listing.pages(after, upto) for each in page]


def test_nothing_is_put_aside_at_the_beginning(listing: Quarantine) -> None:
    assert (listing.listed(-1, 10), listing.count(), places(listing), listing.last(7)) == ([], 0, [], 7)
    assert listing.add([]) == 0


def test_entries_are_listed_in_order_and_once_and_commands_are_no_events_that_the_store_lacks(
    listing: Quarantine,
) -> None:
    entries = [entry(number, kind=number % 4 == 3) for number in range(10)]
    assert listing.add(entries[5:]) == 5
    changed = [msgspec.structs.replace(each, payload=b"other") for each in entries]
    assert listing.add(entries[:5] + changed[5:]) == 5
    assert listing.listed(-1, 100) == entries
    assert listing.listed(entries[3].position, 2) == entries[4:6]
    assert listing.find([entries[7].position, 5, entries[1].position]) == [entries[1], entries[7]]
    events = [ErasedEvent(each.position, each.tail, each.key) for each in entries if not each.kind]
    assert places(listing) == events
    assert places(listing, entries[1].position, entries[6].position) == [
        each for each in events if entries[1].position < each.position <= entries[6].position
    ]
    assert (listing.count(), listing.last(0), listing.last(END)) == (10, entries[-1].position, END)


def test_what_was_dropped_keeps_its_place_and_nothing_else(listing: Quarantine) -> None:
    entries = [entry(number) for number in range(6)]
    listing.add(entries)
    listing.drop([each.position for each in entries[:5]], 5000)
    listing.drop([entries[0].position], 6000)
    assert listing.listed(-1, 10) == [entries[5]]
    assert listing.find([entries[0].position]) == []
    assert listing.count() == 1
    assert [(each.position, each.key) for each in places(listing)][:2] == [(each.position, b"") for each in entries[:2]]
    assert len(places(listing)) == 6
    assert listing.add(entries) == 0, "and it is not put aside anew"
    assert listing.count() == 1


def test_what_is_stored_after_all_is_taken_off_the_list(listing: Quarantine) -> None:
    entries = [entry(number) for number in range(6)]
    listing.add(entries)
    listing.remove([each.position for each in entries[:4]])
    assert listing.listed(-1, 10) == entries[4:]
    assert [each.position for each in places(listing)] == [each.position for each in entries[4:]]


def test_the_one_in_memory_answers_alike() -> None:
    for test in (
        test_nothing_is_put_aside_at_the_beginning,
        test_entries_are_listed_in_order_and_once_and_commands_are_no_events_that_the_store_lacks,
        test_what_was_dropped_keeps_its_place_and_nothing_else,
        test_what_is_stored_after_all_is_taken_off_the_list,
    ):
        test(MemoryQuarantine())
