"""What journeys emit waits while somebody of the project is being erased: it may be because of what that person did."""

from headrace.model.erasure import OpenErasure
from headrace.model.event import Tenant
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
