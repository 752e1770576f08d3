"""What journeys emit waits while somebody of the project is being erased: it may be because of what that person did."""

import pytest

from headrace.model.entries import Entry
from headrace.model.erasure import OpenErasure
from headrace.model.event import Event, Tenant, encode
from tests.journeys.machine import TENANT, Machine
from tests.journeys.test_timers import emit, rules


def test_what_is_emitted_waits_from_before_the_command_until_the_person_is_detached(machine: Machine) -> None:
    machine.apply(rules(emit("one")))
    machine.send("start")
    machine.holds.begin(Tenant("p", "test"), "another")
    machine.holds.begin(TENANT, "erasure")
    machine.settle()
    assert machine.emitted() == []
    machine.holds.lift(OpenErasure("erasure", TENANT, "requested", [], None, []))
    machine.settle()
    assert [event.name for event in machine.emitted()] == ["one"]


def test_however_much_waits_for_an_erasure_it_holds_up_nothing_of_others(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.pipeline.timers._EMITS_AT_ONCE", 2)
    machine.apply(rules(emit("one")))
    machine.holds.begin(TENANT, "erasure")
    for number in range(3):
        machine.send("start", f"u{number}")
    machine.log.append([Entry(encode(Event("p", "test", "flux", "start", machine.now_ms, user_id="other")))])
    machine.settle()
    assert [event.user_id for event in machine.emitted()] == ["other"]
    machine.holds.lift(OpenErasure("erasure", TENANT, "requested", [], None, []))
    machine.settle()
    assert sorted(event.user_id for event in machine.emitted()) == ["other", "u0", "u1", "u2"]
