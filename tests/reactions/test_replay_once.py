"""A replay that is answered at once: each selected event goes through once, however many slices that takes."""

import pytest

from headrace.model.event import StoredEvent
from headrace.model.filters import Filters, Selection
from headrace.replay import once
from headrace.replay.once import Replayed, replay
from tests.reactions.given import TENANT, Machine, event, record_of

RULES = {"facts": [{"id": "visit", "event": "visit", "fact_type": "visited", "points": 1}]}


@pytest.fixture(autouse=True)
def short_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(once, "_SLICE", 3)


def stored(machine: Machine, count: int) -> list[StoredEvent]:
    events = [event("visit", day=number) for number in range(count)]
    machine.store.insert([record_of(each) for each in events])
    machine.apply(RULES)
    return events


def run(machine: Machine, *, ids: list[str] | None = None, limit: int | None = None, dry_run: bool = False) -> Replayed:
    selection = Selection(ids, Filters(), limit)
    return replay(machine.store, machine.reactions, TENANT, selection, force=False, dry_run=dry_run)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 6, 7])
def test_every_event_goes_through_once_and_the_oldest_first(machine: Machine, count: int) -> None:
    events = stored(machine, count)
    for dry_run in (True, False):
        found = run(machine, dry_run=dry_run)
        assert (found.events, found.suppressed) == (count, 0)
        assert [each.event_id for each in found.effects if each.kind == "fact"] == [each.id for each in events]
        assert machine.points() == (0 if dry_run else count)
    again = run(machine)
    assert (again.events, again.effects, again.suppressed) == (count, [], 2 * count)
    assert machine.points() == count


@pytest.mark.parametrize("limit", [1, 3, 4, 9])
def test_a_limit_takes_the_oldest_and_of_ids_the_first(machine: Machine, limit: int) -> None:
    events = stored(machine, 5)
    assert run(machine, limit=limit, dry_run=True).events == min(limit, 5)
    found = run(machine, ids=["nobody", *(each.id for each in events), events[0].id], limit=limit)
    assert (found.events, found.unknown) == (min(limit, 5), ["nobody"])
    assert machine.points() == min(limit, 5)
