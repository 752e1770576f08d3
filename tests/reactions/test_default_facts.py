"""Events that no fact rule is about are facts by default, with their own properties as fields."""

import msgspec
import pytest

from headrace.model.event import StoredEvent
from tests.reactions.given import Machine, event


def challenge(name: str, measure: dict[str, str], goal: float, fact: str = "custom.order") -> dict[str, object]:
    return {"id": name, "fact": fact, "measure": measure, "goal": goal, "repeat": "sum" in measure}


def valued(value: float) -> StoredEvent:
    return msgspec.structs.replace(event("order"), value=value)


def test_a_challenge_adds_up_the_properties_and_values_of_events_without_a_rule(machine: Machine) -> None:
    machine.apply(
        {
            "challenges": [
                challenge("amounts", {"sum": "amount"}, 10),
                challenge("values", {"sum": "value"}, 10, "custom.*"),
                challenge("items", {"distinct": "item"}, 2),
            ]
        }
    )
    machine.react(event("order", amount=19.5, item="a"), event("order", amount=0.5, item="a"), valued(9.5))
    assert [machine.completions(each) for each in ("amounts", "values", "items")] == [2, 0, 0]
    machine.react(valued(0.5), event("order", item="b"))
    assert [machine.completions(each) for each in ("amounts", "values", "items")] == [2, 1, 1]


@pytest.mark.parametrize("properties", [{}, {"other": 20}, {"amount": "20"}, {"amount": [20]}])
def test_an_event_without_the_field_adds_nothing(machine: Machine, properties: dict[str, object]) -> None:
    machine.apply({"challenges": [challenge("amounts", {"sum": "amount"}, 10)]})
    machine.react(event("order", **properties))
    assert machine.completions("amounts") == 0
    machine.react(event("order", amount=10))
    assert machine.completions("amounts") == 1


def test_an_event_that_a_rule_makes_a_fact_of_is_none_by_default(machine: Machine) -> None:
    machine.apply(
        {
            "facts": [{"id": "big", "event": "order", "when": "event.properties.amount >= 100.0", "fact_type": "big"}],
            "challenges": [challenge("amounts", {"sum": "amount"}, 10)],
        }
    )
    machine.react(event("order", amount=100))
    assert machine.completions("amounts") == 0
    machine.react(event("order", amount=99))
    assert machine.completions("amounts") == 9
