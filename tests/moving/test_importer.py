"""What an import takes for new, over a store in memory: whatever was stored or erased before, however long ago, is not."""

import asyncio
from collections.abc import Sequence

import pytest

from headrace.model.batch import Item
from headrace.model.entries import ErasedEvent, Receipt
from headrace.model.event import Event, StoredEvent, Tenant, event_id, render_evt
from headrace.model.exports import Imported, Twins
from headrace.model.repeats import dedup_key
from headrace.upkeep.importing import Importer
from tests.fakes import MemoryErasedEvents

TENANT, OTHER = Tenant("p", "live"), Tenant("p", "test")
AT_MS = 1_736_899_200_000
FIRST, SECOND, THIRD = ((AT_MS + number) << 20 for number in range(3))


class History:
    """A store that knows some events, and an intake that makes more durable. `asked`: who was asked for what, in order."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.known_keys: set[bytes] = set()  # of the log
        self.erased = MemoryErasedEvents()
        self.accepted: list[Event] = []
        self.asked: list[str] = []
        self.importer = Importer(self, self.erased)

    def store(self, position: int, event: Event) -> str:
        """Keep an event at a position; its id."""
        own = event_id(position, 7)
        fields = {name: getattr(event, name) for name in Event.__struct_fields__}
        self.stored.append(StoredEvent(**fields, id=own, position=position))
        return own

    def twins(
        self, tenant: Tenant, moments: Sequence[tuple[str, int]], ids: Sequence[str], message_ids: Sequence[str], /
    ) -> Twins:
        self.asked.append("twins")
        found = [
            each
            for each in self.stored
            if Tenant(each.project, each.mode) == tenant and (each.name, each.timestamp_ms) in moments
        ]
        return Twins(
            frozenset(each.id for each in found if each.id in ids),
            frozenset(dedup_key(each) for each in found if each.message_id and each.message_id in message_ids),
        )

    async def accept(self, items: Sequence[Item]) -> list[Receipt]:
        self.asked.append("accept")
        await asyncio.sleep(0)
        receipts: list[Receipt] = []
        for item in items:
            key = dedup_key(item.event)
            receipts.append(Receipt(FIRST, 1, duplicate=key in self.known_keys))
            if key not in self.known_keys:
                self.accepted.append(item.event)
                self.store(THIRD + len(self.stored), item.event)
            self.known_keys |= {key} if key else set()
        return receipts

    def take(self, *events: Event, tenant: Tenant = TENANT, **ids: str) -> Imported:
        """Import events; `ids`: by e and its index, the id that an event had where it comes from."""
        items = [Item(index, event) for index, event in enumerate(events)]
        of = {int(name[1:]): text for name, text in ids.items()}
        return asyncio.run(self.importer.take(tenant, items, of, self.accept))


@pytest.fixture
def history() -> History:
    return History()


def made(name: str = "n", message_id: str = "", tenant: Tenant = TENANT) -> Event:
    return Event(tenant.project, tenant.mode, "flux", name, AT_MS, message_id=message_id)


def test_what_nobody_has_stored_is_new(history: History) -> None:
    assert history.take(made("a"), made("b", "m")) == Imported(2, 0, 0)
    assert [each.name for each in history.accepted] == ["a", "b"]


def test_an_import_of_nothing_asks_nobody(history: History) -> None:
    assert history.take() == Imported(0, 0, 0)
    assert history.asked == []


def test_an_event_is_a_repeat_of_the_one_with_its_old_id_its_key_or_its_old_id_as_a_key(history: History) -> None:
    by_id = history.store(FIRST, made())
    history.store(SECOND, made("keyed", "m"))
    repeats = [made(), made("keyed", "m"), made(message_id=render_evt(by_id))]
    assert history.take(*repeats, e0=by_id) == Imported(0, 3, 0)
    assert history.accepted == []
    assert history.asked == ["twins"], "what is no news goes nowhere"


def test_a_key_that_only_looks_like_an_id_without_its_sign_is_a_key(history: History) -> None:
    own = history.store(FIRST, made())
    assert history.take(made(message_id=own)) == Imported(1, 0, 0)


def test_a_key_that_begins_like_an_id_and_is_none_is_a_key(history: History) -> None:
    history.store(FIRST, made(message_id="evt_mine"))
    assert history.take(made(message_id="evt_mine"), made(message_id="evt_yours")) == Imported(1, 1, 0)


def test_what_another_mode_has_is_new(history: History) -> None:
    own = history.store(FIRST, made(tenant=OTHER, message_id="m"))
    assert history.take(made(message_id="m"), e0=own) == Imported(1, 0, 0)


def test_what_the_log_remembers_counts_as_a_repeat_beside_what_the_store_has(history: History) -> None:
    own = history.store(FIRST, made())
    history.known_keys.add(dedup_key(made("late", "k")))
    assert history.take(made(), made("late", "k"), made("new"), e0=own) == Imported(1, 2, 0)


@pytest.mark.parametrize("erased", [(FIRST,), (FIRST, SECOND), (SECOND,), (FIRST, SECOND, THIRD)])
def test_what_was_erased_does_not_come_back_and_its_neighbours_do(history: History, erased: tuple[int, ...]) -> None:
    places = (FIRST, SECOND, THIRD)
    history.erased.add([ErasedEvent(each, 7) for each in erased])
    ids = {f"e{index}": event_id(each, 7) for index, each in enumerate(places)}
    events = [made("first"), made("second"), made("third")]
    assert history.take(*events, **ids) == Imported(3 - len(erased), 0, len(erased))
    kept = [event.name for event, place in zip(events, places, strict=True) if place not in erased]
    assert [each.name for each in history.accepted] == kept


def test_an_erased_event_is_known_by_the_id_in_its_key_and_is_counted_as_erased_alone(history: History) -> None:
    own = history.store(FIRST, made(message_id="m"))
    history.erased.add([ErasedEvent(FIRST, 7)])
    assert history.take(made(message_id=render_evt(own)), made(message_id="m"), e1=own) == Imported(0, 0, 2)


def test_what_was_erased_is_known_by_its_key_wherever_a_file_comes_from(history: History) -> None:
    """A vendor's file knows no id, and the log forgets keys."""
    history.erased.add([ErasedEvent(FIRST, 7, dedup_key(made(message_id="m"))), ErasedEvent(SECOND, 7)])
    assert history.take(made(message_id="m"), made(message_id="other"), made()) == Imported(2, 0, 1)
    assert [each.message_id for each in history.accepted] == ["other", ""]


def test_an_event_at_the_place_of_an_erased_one_with_another_tail_is_new(history: History) -> None:
    history.erased.add([ErasedEvent(FIRST, 8)])
    assert history.take(made(), e0=event_id(FIRST, 7)) == Imported(1, 0, 0)


def test_two_imports_at_once_are_done_one_after_the_other(history: History) -> None:
    """So the second sees what the first has stored, which without a key nothing else would tell it."""
    items = [Item(0, made())]
    own = event_id(FIRST, 7)

    async def both() -> list[Imported]:
        takes = [history.importer.take(TENANT, items, {0: own}, history.accept) for _ in range(2)]
        return await asyncio.gather(*takes)

    asyncio.run(both())
    assert history.asked == ["twins", "accept", "twins", "accept"]
