"""One erasure, step by step: what each waits for, what it takes with it, and what it leaves."""

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.model.entries import Kind
from headrace.model.erasure import OpenErasure
from headrace.model.errors import Unavailable
from headrace.model.event import StoredEvent, Tenant
from headrace.model.quarantine import Quarantined
from headrace.upkeep import erasing as module
from headrace.upkeep.erasing import is_about
from tests.reactions.given import TENANT, event, record_of
from tests.upkeep.erasing import ErasingMachine
from tests.upkeep.test_erasing import RULES, identify

EVERY = 1 << 62


@pytest.fixture
def machine(tmp_path: Path, template: Path) -> Iterator[ErasingMachine]:
    machine = ErasingMachine(tmp_path, template)
    machine.apply(RULES)
    machine.work()  # so that what comes is not what a start finds
    yield machine
    machine.close()


def commands(machine: ErasingMachine) -> int:
    return sum(each.kind == Kind.ERASURE for each in machine.log.records)


def changed(original: StoredEvent, **fields: Any) -> StoredEvent:
    return msgspec.structs.replace(original, **fields)


def aside(taken: StoredEvent, key: bytes = b"") -> Quarantined:
    return Quarantined(taken.position, 7, Kind.EVENT, "torn", record_of(taken).payload, key, 1)


def test_a_command_that_the_log_had_no_room_for_is_appended_once_there_is_some(machine: ErasingMachine) -> None:
    machine.take(event("bought"))
    machine.commands.is_full = True
    erasure_id = machine.erase("u")
    assert machine.erase("u") == erasure_id, "it is asked for already"
    assert (machine.erasures.get(TENANT, erasure_id).status, commands(machine)) == ("requested", 0)
    with pytest.raises(Unavailable):
        machine.eraser.step()
    machine.commands.is_full = False
    machine.work()
    assert (machine.erasures.get(TENANT, erasure_id).status, commands(machine)) == ("done", 1)
    assert machine.store.present(0, EVERY) == set()


def test_a_request_for_somebody_whose_erasure_has_a_place_is_a_new_one_of_what_came_since(
    machine: ErasingMachine,
) -> None:
    machine.take(event("bought"))
    first = machine.erase("u")
    machine.take(event("bought"))
    second = machine.erase("u")
    machine.work()
    assert [machine.erasures.get(TENANT, each).removed["events"] for each in (first, second)] == [1, 1]


def test_each_step_is_done_after_the_one_before_and_the_receipt_says_when_it_ended(machine: ErasingMachine) -> None:
    machine.take(event("bought"))
    erasure_id = machine.erase("u")
    machine.work()
    steps = ["listed", "detached", "lifted", "forgotten", "erased", "feed paused", "undelivered", "redacted"]
    assert machine.told == ["1 appended", *steps, "overwritten"]
    assert machine.erasures.get(TENANT, erasure_id).finished_at_ms == 5


def test_the_receipt_counts_the_copies_that_the_log_still_had(machine: ErasingMachine) -> None:
    trimmed, held = event("bought"), event("bought")
    machine.take(trimmed, held)
    machine.commands.held_after = trimmed.position
    erasure_id = machine.erase("u")
    machine.work()
    removed = machine.erasures.get(TENANT, erasure_id).removed
    assert (removed["events"], removed["log_entries"]) == (2, 1)


def test_the_persons_metric_points_go_and_those_of_others_and_of_another_mode_stay(machine: ErasingMachine) -> None:
    points = [changed(event("m", user), project="p/metrics") for user in ("u", "v")]
    points.append(changed(event("m", mode="test"), project="p/metrics"))
    machine.store.insert([record_of(each) for each in points])
    machine.erase("u")
    machine.work()
    assert machine.store.present(0, EVERY) == {each.id for each in points[1:]}


def test_all_of_a_persons_events_go_however_few_are_read_at_once(
    machine: ErasingMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_EVENTS_AT_ONCE", 2)
    monkeypatch.setattr(module, "_ENTRIES_AT_ONCE", 1)
    taken = [event("bought", user) for user in "uvuuvuu"]
    machine.take(*taken)
    torn = [event("bought", user) for user in "uvuu"]
    machine.quarantine.add([aside(each) for each in torn])
    erasure_id = machine.erase("u")
    machine.work()
    assert machine.store.present(0, EVERY) == {each.id for each in taken if each.user_id == "v"}
    assert [each.position for each in machine.quarantine.listed(-1, 9)] == [torn[1].position]
    removed = machine.erasures.get(TENANT, erasure_id).removed
    assert (removed["events"], removed["quarantined"]) == (5, 3)


def test_what_was_put_aside_after_the_command_is_about_somebody_new(machine: ErasingMachine) -> None:
    before = event("bought")
    machine.quarantine.add([aside(before)])
    machine.erase("u")
    after = event("bought")
    machine.quarantine.add([aside(after)])
    machine.work()
    assert [each.position for each in machine.quarantine.listed(-1, 9)] == [after.position]


def test_ids_that_were_joined_while_the_person_was_looked_up_are_erased_too(machine: ErasingMachine) -> None:
    machine.take(identify("u"), changed(event("bought", ""), anonymous_id="a-u"))
    real, asked = machine.eraser._people, list[str]()

    class Late:
        """Knows of no other id the first time it is asked."""

        def ids_of(self, tenant: Tenant, user_id: str, /) -> Sequence[str]:
            asked.append(user_id)
            return real.ids_of(tenant, user_id) if len(asked) > 1 else []

    machine.eraser._people = Late()  # type: ignore[assignment]  as much of People as an erasure asks
    machine.erase("u")
    machine.work()
    assert asked == ["u", "u"]
    assert machine.state()["ids"] == []
    assert machine.store.present(0, EVERY) == set()


def test_an_erasure_that_waits_for_reactions_goes_on_when_they_are_done(machine: ErasingMachine) -> None:
    is_over = threading.Event()
    machine.take(event("bought"))
    erasure_id = machine.erase("u")
    machine.eraser._on_step = lambda step: is_over.set() if step == "overwritten" else None
    machine.eraser.loop.start()
    try:
        assert machine.looked.wait(60)
        machine.drain()
        machine.eraser.on_reacted()
        assert is_over.wait(60)
    finally:
        machine.eraser.loop.stop()
    assert machine.erasures.get(TENANT, erasure_id).status == "done"


def test_an_erasure_that_asks_before_the_reactor_has_begun_is_told_once_it_has(machine: ErasingMachine) -> None:
    """The last process had reacted to everything, so nothing that is reacted to now would tell it."""
    machine.take(event("bought"))
    machine.erase("u")
    machine.drain()
    machine.restart()
    woken: list[bool] = []
    machine.eraser.loop.wake = lambda: woken.append(True)  # type: ignore[method-assign]
    machine.reactor._on_progress = machine.eraser.on_reacted
    assert not machine.eraser.step()
    machine.drain()
    assert woken
    assert machine.eraser.step()


OWN = event("bought")
ERASURE = OpenErasure("e", TENANT, "requested", ["u", "a-u", 'q"q'], 1 << 62, [])


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (OWN, True),
        (changed(OWN, user_id="", anonymous_id="a-u"), True),
        (changed(OWN, project="p/metrics"), True),
        (changed(OWN, user_id="v"), False),
        (changed(OWN, user_id="v", anonymous_id="a-u"), False),
        (changed(OWN, user_id="", anonymous_id="a-v"), False),
        (changed(OWN, mode="test"), False),
        (changed(OWN, project="q"), False),
        (b'{"user_id":"u",\xff', True),
        (b'{"user_id":"q\\"q",\xff', True),
        (b'{"user_id":"uu",\xff', False),
        (b"", False),
    ],
)
def test_an_entry_that_was_put_aside_is_the_persons_if_it_says_so_or_cannot_be_read_and_names_them(
    entry: StoredEvent | bytes, expected: bool
) -> None:
    payload = entry if isinstance(entry, bytes) else record_of(entry).payload
    assert is_about(Quarantined(1, 7, Kind.EVENT, "torn", payload, b"", 1), ERASURE) is expected
    assert not is_about(Quarantined(1, 7, Kind.TIMER, "torn", payload, b"", 1), ERASURE), "a command is nobody's event"


def test_reactions_that_end_while_an_erasure_looks_for_them_wake_it(machine: ErasingMachine) -> None:
    machine.take(event("bought"))
    machine.erase("u")
    woken: list[bool] = []
    machine.eraser.loop.wake = lambda: woken.append(True)  # type: ignore[method-assign]
    machine.eraser.on_reacted()
    assert woken == [], "nothing waits yet"
    has_passed = machine.eraser._has_passed

    def look(tenant: Tenant, position: int) -> bool:
        found = has_passed(tenant, position)
        machine.eraser.on_reacted()
        return found

    machine.eraser._has_passed = look
    assert not machine.eraser.step()
    assert woken == [True]
