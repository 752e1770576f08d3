"""What an operator does with entries that were put aside, over a log and a store in memory."""

from collections.abc import Callable, Sequence

import msgspec
import pytest

from headrace.model.entries import Entry, Kind, Record
from headrace.model.errors import NotFound
from headrace.model.event import STEP, Event, Tenant, encode, event_id
from headrace.model.quarantine import Quarantined
from headrace.ports.store import StoreRefused
from headrace.upkeep.quarantine import Asked, QuarantineDesk, Retried, answer
from tests.fakes import MemoryLog, MemoryQuarantine, MemoryStore

NOW_MS = 1_736_899_200_000
MONTH_MS = 31 * 86_400_000


class ForgetfulLog(MemoryLog):
    """`forgotten`: the stretches whose keys it was told to forget. `healed`: spoilt entries that can be read again."""

    def __init__(self) -> None:
        self.now_ms = NOW_MS
        super().__init__(clock_ms=lambda: self.now_ms)
        self.forgotten: list[tuple[int, int]] = []
        self.healed: list[Record] = []

    def forget(self, after: int, upto: int, /) -> None:
        self.forgotten.append((after, upto))

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        healed = {each.position: each for each in self.healed}
        return [healed.get(each.position, each) for each in super().read(after, max_entries, max_bytes)]


class PickyStore(MemoryStore):
    """`never`: positions of records that it can never take. `inserts`: how many records each insert brought."""

    def __init__(self) -> None:
        super().__init__()
        self.never: set[int] = set()
        self.inserts: list[int] = []

    def insert(self, records: Sequence[Record], /) -> None:
        if any(each.position in self.never for each in records):
            raise StoreRefused("too deep")
        self.inserts.append(len(records))
        super().insert(records)


class Given:
    """A desk, and entries that were put aside. `reacted`: which events were given to the reactions of whom."""

    def __init__(self) -> None:
        self.log, self.store, self.quarantine = ForgetfulLog(), PickyStore(), MemoryQuarantine()
        self.reacted: list[tuple[Tenant, list[str]]] = []
        self.in_worker = 0
        self.desk = QuarantineDesk(
            *(self.quarantine, self.log, self.store),
            in_worker=self._in_worker,
            react=lambda tenant, ids: self.reacted.append((tenant, list(ids))),
            clock_ms=lambda: 5,
        )

    def _in_worker(self, work: Callable[[], None]) -> None:
        self.in_worker += 1
        work()

    def put_aside(self, name: str = "n", mode: str = "live", *, kind: int = Kind.EVENT, at_ms: int = NOW_MS) -> str:
        """An event of this name that cannot be read any more, although its bytes are whole; its id."""
        self.log.now_ms = at_ms
        payload = encode(Event("p", mode, "flux", name, NOW_MS))  # type: ignore[arg-type]
        [receipt] = self.log.append([Entry(payload, kind=kind)])
        self.log.spoil(receipt.position)
        self.desk.add([Quarantined(receipt.position, receipt.tail, kind, "spoilt", payload, b"k" * 16, 1)])
        return receipt.id

    def heal(self) -> None:
        """From now on the log gives back what was written."""
        self.log.healed = [Record(each.position, each.tail, each.payload) for each in self.quarantine.listed(-1, 99)]

    def names(self) -> list[str]:
        return [event.name for event in self.store._events]


@pytest.fixture
def given() -> Given:
    return Given()


def test_what_can_be_read_again_is_stored_under_its_id_and_reacted_to_by_its_own_tenant(given: Given) -> None:
    ids = [given.put_aside("a"), given.put_aside("b", "test"), given.put_aside("c")]
    given.heal()
    retried = given.desk.retry(ids, as_is=False, corrected={})
    assert (retried.stored, retried.failed) == (ids, [])
    assert given.store.stored(ids) == set(ids)
    assert given.reacted == [(Tenant("p", "live"), [ids[0], ids[2]]), (Tenant("p", "test"), [ids[1]])]
    assert (given.desk.listed(-1, 9), given.desk.count, given.in_worker) == ([], 0, 1)


def test_what_still_cannot_be_read_stays_with_the_reason_and_what_to_do(given: Given) -> None:
    own, other = given.put_aside("a"), given.put_aside("b")
    retried = given.desk.retry([own], as_is=False, corrected={})
    assert retried.stored == []
    assert [event_id for event_id, _ in retried.failed] == [own]
    assert "--as-is" in retried.failed[0][1]
    assert given.names() == []
    assert [each.id for each in given.desk.listed(-1, 9)] == [own, other]
    assert (given.desk.count, given.reacted) == (2, [])


def test_the_entry_that_stands_at_the_place_now_is_taken_only_if_it_is_the_same(given: Given) -> None:
    own = given.put_aside("a")
    [entry] = given.quarantine.listed(-1, 9)
    given.log.healed = [Record(entry.position, entry.tail + 1, entry.payload)]
    assert given.desk.retry([own], as_is=False, corrected={}).stored == []
    given.log.trim(entry.position)
    given.put_aside("later")
    given.heal()
    assert given.desk.retry([own], as_is=False, corrected={}).stored == [], "it is another entry's"


def test_an_operator_may_accept_the_bytes_as_they_are_or_correct_them(given: Given) -> None:
    kept, corrected, torn = given.put_aside("kept"), given.put_aside("wrong"), given.put_aside("torn")
    row = next(each for each in given.quarantine.listed(-1, 9) if each.id == torn)
    given.quarantine.rows[row.position] = msgspec.structs.replace(row, payload=b"{")
    right = encode(Event("p", "live", "flux", "right", NOW_MS))
    retried = given.desk.retry([kept, corrected, torn], as_is=True, corrected={corrected: right})
    assert retried.stored == [kept, corrected]
    assert given.names() == ["kept", "right"]
    assert [(event_id, "not an event" in why) for event_id, why in retried.failed] == [(torn, True)]


def test_the_bytes_are_not_accepted_as_they_are_unless_the_operator_asks_for_it(given: Given) -> None:
    own = given.put_aside("torn")
    asked = msgspec.convert({"action": "retry", "ids": [own]}, Asked)
    assert msgspec.to_builtins(answer(given.desk, asked))["stored"] == []
    asked = msgspec.convert({"action": "retry", "ids": [own], "asIs": True}, Asked)
    assert msgspec.to_builtins(answer(given.desk, asked))["stored"] == [own]


def test_a_correction_that_is_no_event_is_refused_and_one_of_something_else_is_not_used(given: Given) -> None:
    own = given.put_aside("a")
    given.heal()
    [(failed, why)] = given.desk.retry([own], as_is=True, corrected={own: b"[]"}).failed
    assert (failed, "correct its payload" in why) == (own, True)
    assert given.desk.retry([own], as_is=False, corrected={"no id": b"[]", "f" * 32: b"[]"}).stored == [own]


def test_a_command_is_no_event_and_can_only_be_dropped(given: Given) -> None:
    own = given.put_aside("a", kind=Kind.ERASURE)
    given.heal()
    right = encode(Event("p", "live", "flux", "right", NOW_MS))
    [(failed, why)] = given.desk.retry([own], as_is=True, corrected={own: right}).failed
    assert (failed, "can only be dropped" in why) == (own, True)
    assert given.names() == []


def test_entries_of_two_months_are_stored_month_by_month(given: Given) -> None:
    ids = [given.put_aside("a"), given.put_aside("b"), given.put_aside("c", at_ms=NOW_MS + MONTH_MS)]
    assert given.desk.retry(ids, as_is=True, corrected={}).stored == ids
    assert given.store.inserts == [2, 1]


def test_what_the_store_refuses_stays_put_aside_and_costs_its_neighbours_nothing(given: Given) -> None:
    ids = [given.put_aside(name) for name in "abc"]
    given.store.never = {given.quarantine.listed(-1, 9)[1].position}
    retried = given.desk.retry(ids, as_is=True, corrected={})
    assert retried.stored == [ids[0], ids[2]]
    assert [(event_id, "too deep" in why) for event_id, why in retried.failed] == [(ids[1], True)]
    assert [each.id for each in given.desk.listed(-1, 9)] == [ids[1]]
    assert given.reacted == [(Tenant("p", "live"), [ids[0], ids[2]])]


def test_a_retry_after_a_crash_stores_nothing_twice_and_reacts_to_it(given: Given) -> None:
    ids = [given.put_aside("a"), given.put_aside("b")]
    row = given.quarantine.listed(-1, 9)[0]
    given.store.insert([Record(row.position, row.tail, row.payload)])  # and the process ended here
    assert given.desk.retry(ids, as_is=True, corrected={}).stored == ids
    assert sorted(given.names()) == ["a", "b"]
    assert given.reacted == [(Tenant("p", "live"), ids)]


def test_what_is_dropped_is_forgotten_by_the_log_and_nothing_between_is(given: Given) -> None:
    ids = [given.put_aside(name) for name in "abcd"]
    [a, b, _, d] = given.quarantine.listed(-1, 9)
    assert b.position - a.position == STEP
    assert given.desk.drop([ids[0], ids[1], ids[3]]) == 3
    assert given.log.forgotten == [(a.position - 1, b.position), (d.position - 1, d.position)]
    assert [each.id for each in given.desk.listed(-1, 9)] == [ids[2]]
    assert (given.desk.count, given.quarantine.rows[a.position].dropped_at_ms) == (1, 5)


@pytest.mark.parametrize("unknown", ["", "x", event_id(NOW_MS << 20, 9), "y" * 500])
def test_an_unknown_id_is_said_and_costs_the_known_ones_nothing(given: Given, unknown: str) -> None:
    known = given.put_aside("a")
    with pytest.raises(NotFound, match="Nothing is put aside under the id") as raised:
        given.desk.drop([known, unknown])
    assert len(str(raised.value)) < 200
    assert (given.desk.count, given.log.forgotten) == (1, [])


def test_what_is_erased_meanwhile_leaves_the_list(given: Given) -> None:
    given.put_aside("a")
    given.desk.forget([given.quarantine.listed(-1, 9)[0].position])
    assert (given.desk.count, given.desk.listed(-1, 9)) == (0, [])


def test_the_commands_of_the_command_line_are_answered(given: Given) -> None:
    ids = [given.put_aside(name) for name in "abc"]
    rows = given.quarantine.listed(-1, 9)
    assert answer(given.desk, Asked("list", after=rows[0].position, limit=1)) == [rows[1]]
    assert answer(given.desk, Asked("drop", ids[:1])) == {"dropped": 1}
    assert answer(given.desk, Asked("retry", ids[1:], as_is=True)) == Retried(ids[1:], [])
    assert given.desk.count == 0


def test_what_is_put_aside_again_counts_once(given: Given) -> None:
    given.put_aside("a")
    rows = given.quarantine.listed(-1, 9)
    fresh = msgspec.structs.replace(rows[0], position=rows[0].position + STEP)
    assert given.desk.add([*rows, fresh]) == 1
    assert given.desk.count == 2
