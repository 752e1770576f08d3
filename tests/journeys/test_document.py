"""What is wrong with a journey is said with its place, and no journey gets in that could go on for ever."""

from typing import Any

import msgspec
import pytest

from headrace.model.errors import InvalidRules
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.meaning import changes

WAIT: dict[str, Any] = {"id": "w", "wait": "1h"}


def one(*steps: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {"journeys": [{"id": "j", "trigger": {"event": "start"}, "steps": list(steps)} | given]}


def problems(document: dict[str, Any] | str) -> list[tuple[str, str]]:
    text = document.encode() if isinstance(document, str) else msgspec.json.encode(document)
    with pytest.raises(InvalidRules) as raised:
        parse_document(text)
    return [(problem.path, problem.detail) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("document", "place", "said"),
    [
        (one(), "journeys[0].steps", "it needs at least one step"),
        (one({"id": "a"}), "journeys[0].steps[0]", "it has none"),
        (one({"id": "a", "wait": "1h", "emit": {"event": "x"}}), "journeys[0].steps[0]", "it has wait and emit"),
        (one({"id": "a", "wait": "1 h"}), "journeys[0].steps[0].wait", "is not a duration"),
        (one({"id": "a", "wait": "0s"}), "journeys[0].steps[0].wait", "is not a duration"),
        (one({"id": "a", "wait": "367d"}), "journeys[0].steps[0].wait", "at most 366d"),
        (one({"id": "a", "wait": {"until": "24:00"}}), "journeys[0].steps[0].wait.until", "is not a time of day"),
        (
            one({"id": "a", "wait": {"until": "09:00", "time_zone": "Mars/X"}}),
            "journeys[0].steps[0].wait.time_zone",
            "is not a time zone",
        ),
        (one({"id": "a", "wait_for": {"event": "x"}}), "journeys[0].steps[0].wait_for", "might never end"),
        (
            one({"id": "a", "wait_for": {"event": "x*y", "timeout": "1d"}}),
            "journeys[0].steps[0].wait_for.event",
            "only allowed at the end",
        ),
        (
            one({"id": "a", "branch": {"when": "event.name == 'x'"}}),
            "journeys[0].steps[0].branch",
            "needs steps in 'then' or in 'else'",
        ),
        (one({"id": "a", "emit": {"event": "x*"}}), "journeys[0].steps[0].emit.event", "it holds no '*'"),
        (
            one({"id": "a", "emit": {"event": "x", "properties": {"a": "x" * 20_000}}}),
            "journeys[0].steps[0].emit.properties",
            "the limit is 16384",
        ),
        (one({"id": "a", "call": {"webhook": "A B"}}), "journeys[0].steps[0].call.webhook", ""),
        (one(WAIT, WAIT), "journeys[0].steps[1].id", "another step of this journey has the id 'w'"),
        (one(WAIT, entry="twice"), "journeys[0].entry", ""),
        (one(WAIT, entry={"per": "7d", "at_most": 3}), "journeys[0].entry", "write once"),
        (one(WAIT, entry={"at_most": 11}), "journeys[0].entry.at_most", "<= 10"),
        (one(WAIT, exit=["a*b"]), "journeys[0].exit[0]", "only allowed at the end"),
        (one(WAIT, trigger={"event": "x", "when": "event.nmae == 'x'"}), "journeys[0].trigger.when", "has no field"),
        (one(WAIT, points=3), "journeys[0]", "unknown field"),
        ({"journey": []}, "journey", "'journeys'"),
    ],
)
def test_a_problem_is_named_with_its_place(document: dict[str, Any], place: str, said: str) -> None:
    found = problems(document)
    assert [each[0] for each in found] == [place]
    assert said in found[0][1]


def test_yaml_has_the_line_of_a_step_deep_within_branches() -> None:
    text = """
journeys:
  - id: j
    trigger: {event: start}
    steps:
      - id: outer
        branch:
          when: event.properties.a == 1
          then:
            - id: inner
              branch:
                when: event.properties.b == 1
                else:
                  - {id: w, wait: soon}
"""
    with pytest.raises(InvalidRules) as raised:
        parse_document(text.encode())
    [problem] = raised.value.problems
    assert (problem.path, problem.line) == ("journeys[0].steps[0].branch.then[0].branch.else[0].wait", 14)


@pytest.mark.parametrize(
    ("when", "said"),
    [
        ("steps.later.happened", "no earlier step has the id 'later'"),
        ("steps.self.happened", "no earlier step has the id 'self'"),
        ("steps.w.answer", "it has: happened, reply, event"),
        ("steps.w", "must be followed by a step's id"),
        ("steps.w.event.nmae == 'x'", "has no field 'nmae'"),
        ("person.age > 3", "'person' has no 'age'"),
        ("person.traits.plan + 1 == 'x'", ""),
        ("trigger.name == 'x'", "can only use 'event', 'person' and 'steps'"),
        ("steps.w.happened == 'yes'", "never equal"),
    ],
)
def test_a_condition_reads_only_what_can_be_there(when: str, said: str) -> None:
    steps = [WAIT, {"id": "self", "branch": {"when": when, "then": [{"id": "later", "wait": "1h"}]}}]
    [(place, found)] = problems(one(*steps))
    assert place == "journeys[0].steps[1].branch.when"
    assert said in found


def test_a_rule_of_facts_knows_neither_person_nor_steps() -> None:
    fact = {"id": "f", "event": "x", "when": "person.traits.plan == 'pro'"}
    [(place, found)] = problems({"facts": [fact]})
    assert place == "facts[0].when"
    assert "can only use 'event'" in found


def test_branches_nest_only_so_deep_and_steps_are_only_so_many() -> None:
    step: dict[str, Any] = WAIT
    for number in range(6):
        step = {"id": f"b{number}", "branch": {"when": "event.name == 'x'", "then": [step]}}
    [(_, found)] = problems(one(step))
    assert "nested deeper than 5" in found
    [(_, found)] = problems(one(*({"id": f"w{number}", "wait": "1h"} for number in range(101))))
    assert "101 steps; the limit is 100" in found


def test_journeys_that_start_each_other_without_end_are_refused() -> None:
    def emitting(name: str, event: str, *emitted: str) -> dict[str, Any]:
        steps = [{"id": f"e{number}", "emit": {"event": each}} for number, each in enumerate(emitted)]
        return {"id": name, "trigger": {"event": event}, "steps": steps}

    [(place, found)] = problems({"journeys": [emitting("a", "x", *["x"] * 5)]})
    assert place == "journeys"
    assert "could set off 3905 events" in found
    parse_document(msgspec.json.encode({"journeys": [emitting("a", "x", "y"), emitting("b", "y", "x")]}))


def test_what_one_event_can_reach_is_bounded_over_all_journeys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.reactions.reach.REACH_NS", 500_000)
    dear = " || ".join(f"event.properties.a + event.properties.b + event.properties.c == '{n}'" for n in range(6))
    wait_for = {"event": "x", "when": dear, "timeout": "1d"}
    steps = [{"id": f"w{number}", "wait_for": wait_for} for number in range(8)]
    many = [{"id": f"j{number}", "trigger": {"event": "y"}, "steps": steps} for number in range(20)]
    assert len(parse_document(msgspec.json.encode({"journeys": many[:2]})).journeys) == 2
    [(place, found)] = problems({"journeys": many})
    assert place == "journeys"
    assert "conditions of journeys" in found


def test_titles_are_no_part_of_a_journeys_meaning() -> None:
    def document(title: str, wait: str) -> Any:
        inner = {"id": "w", "wait": wait, "title": title}
        branch = {"when": "event.name == 'x'", "else": [inner]}
        return parse_document(msgspec.json.encode(one({"id": "b", "branch": branch}, title=title)))

    assert [each.change for each in changes(document("a", "1h"), document("b", "1h"))] == ["reworded"]
    changed = changes(document("a", "1h"), document("a", "2h"))
    assert [(each.change, each.starts_anew) for each in changed] == [("changed", False)]
