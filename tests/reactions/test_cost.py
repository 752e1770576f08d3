"""The bound on work: what would cost too much is refused when it is applied, or not evaluated, by counting and never by a clock."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.model.errors import InvalidRules
from headrace.model.event import Event
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions import cost
from headrace.reactions.conditions import Condition, Malformed, TooCostly
from headrace.reactions.document import FactRule
from headrace.reactions.facts import FactMaker, Failure, facts_of
from headrace.reactions.reach import Share, dearest_reach
from headrace.reactions.reading import Reading
from headrace.reactions.rules import parse_rules
from tests.reactions import arbitrary
from tests.reactions.given import Machine
from tests.reactions.given import event as event_of

LIST = "event.properties.l"


def summed(terms: int, term: str = LIST) -> str:
    return f"size({'+'.join([term] * terms)}) > 5"


# The document that was seen to stop a server: 238 facts, each of which names one list 22 to 25 times.
SEEN = {
    "facts": [{"id": f"f{number}", "event": "boom", "when": summed(22 + number % 4)} for number in range(238)],
}
LONG_LIST = msgspec.structs.replace(event_of("boom"), properties=json.dumps({"l": list(range(60_000))}))
LONG_TEXT = msgspec.structs.replace(event_of("boom"), properties=json.dumps({"l": "x" * 250_000}))


def makers(*conditions: str) -> list[FactMaker]:
    return [FactMaker(FactRule(id=f"r{no}", event="*", when=text), no) for no, text in enumerate(conditions, 1)]


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[Condition]:
    """The conditions that were evaluated, in order."""
    found: list[Condition] = []
    holds = Condition.holds

    def noted(condition: Condition, context: Any, /) -> bool:
        found.append(condition)
        return holds(condition, context)

    monkeypatch.setattr(Condition, "holds", noted)
    return found


def work_of(condition: Condition, event: Event) -> tuple[float, dict[cost.Path, float]]:
    """What an evaluation costs, and handing over each value that it reads, worked out from the whole event."""
    reading = Reading(event)
    sizes = {path: size for path in condition.paths if (size := reading.size(path))}
    return condition.work.at(sizes), {path: size.handing() for path, size in sizes.items()}


def test_the_document_that_stopped_a_server_is_refused_with_the_term_named() -> None:
    assert len(json.dumps(SEEN)) <= 128 * 1024
    with pytest.raises(InvalidRules) as raised:
        parse_document(json.dumps(SEEN).encode())
    assert len(raised.value.problems) == 238
    assert raised.value.problems[7].path == "facts[7].when"
    assert "if the event has 4 KiB" in raised.value.problems[7].detail
    assert f"'{LIST}+{LIST}" in raised.value.problems[7].detail


def test_the_same_document_kept_from_before_does_nothing_but_say_so(evaluated: list[Condition]) -> None:
    kept = parse_rules(SEEN, kept=True)
    ready = [FactMaker(rule, no) for no, rule in enumerate(kept.facts, 1)]
    facts, failures = facts_of("0" * 32, LONG_LIST, ready)
    assert [fact.rule_no for fact in facts] == [0]
    assert [failure.rule_no for failure in failures] == list(range(1, 239))
    assert "no longer accepted: it is too expensive" in failures[0].why
    assert evaluated == []


def test_texts_joined_25_times_are_refused_whatever_their_form() -> None:
    for text in (
        summed(25),
        f"{'+'.join(['event.properties.t'] * 25)} == 'x'",
        f"({'+'.join(['string(event.properties.t)'] * 16)}).contains('x')",
    ):
        with pytest.raises(TooCostly):
            Condition(text)


@pytest.mark.parametrize("event", [LONG_LIST, LONG_TEXT], ids=["list", "text"])
@pytest.mark.parametrize(
    "text",
    [
        summed(4),
        f"size({LIST}) > 5",
        f"1 in {LIST}",
        f"{LIST} == {LIST}",
        f"[{', '.join([LIST] * 15)}] == [1]",
        f"{{'a': {LIST}, 'b': {LIST}}} == {{'a': {LIST}, 'b': {LIST}}}",
        f"has({LIST}) ? {LIST} == [1] : {LIST} == [2]",
        f"{LIST}[{LIST}[0]] == 1",
        f"duration({LIST}) > duration('1h')",
        f"size(event.properties) > 5 && event.properties == {{'l': {LIST}}}",
        LIST,
    ],
)
def test_over_the_largest_event_only_what_is_within_the_bound_is_evaluated(
    evaluated: list[Condition], event: Event, text: str
) -> None:
    _, failures = facts_of("0" * 32, event, makers(text))
    [failure] = failures or [Failure(1, "")]
    work, handing = work_of(Condition(text), event)
    is_within = work <= cost.EVALUATION_NS and sum(handing.values()) <= cost.EVALUATION_NS
    assert bool(evaluated) is is_within
    assert failure.too_costly is not is_within
    if event is LONG_LIST:
        assert failure.too_costly
        assert "too large: it reads" in failure.why
        assert "60001 items" in failure.why or "12000" in failure.why
        assert text[:60] in failure.why
        assert len(failure.why) < 300


def test_a_whole_object_is_read_only_while_it_is_small(evaluated: list[Condition]) -> None:
    [rule] = makers("size(event.properties) > 0")
    _, [failure] = facts_of("0" * 32, LONG_LIST, [rule])
    assert failure.too_costly
    assert evaluated == []
    facts, failures = facts_of("0" * 32, event_of("boom", l=[1, 2]), [rule])
    assert [fact.rule_no for fact in facts] == [1]
    assert failures == []


def test_a_list_too_long_for_one_rule_does_not_stop_the_rules_that_do_not_read_it(evaluated: list[Condition]) -> None:
    heavy, light = f"size({LIST}) > 5", "event.properties.amount > 5"
    event = msgspec.structs.replace(LONG_LIST, properties=json.dumps({"l": list(range(60_000)), "amount": 7}))
    facts, failures = facts_of("0" * 32, event, makers(heavy, light, "event.name == 'boom'"))
    assert [fact.rule_no for fact in facts] == [2, 3]
    assert [(failure.rule_no, failure.too_costly) for failure in failures] == [(1, True)]
    assert [condition.text for condition in evaluated] == [light, "event.name == 'boom'"]


def test_what_one_event_reaches_is_bounded_together_and_the_cheapest_rules_come_first(
    evaluated: list[Condition],
) -> None:
    event = event_of("a", l=list(range(400)), amount=7)
    ready = makers(*[summed(4)] * 100, "event.properties.amount > 5")
    facts, failures = facts_of("0" * 32, event, ready)
    assert facts[-1].rule_no == 101
    assert 0 < len(facts) - 1 < 100
    assert len(failures) == 101 - len(facts)
    assert {failure.too_costly for failure in failures} == {True}
    spent = sum(work_of(condition, event)[0] for condition in evaluated)
    assert cost.EVENT_NS / 2 < spent <= cost.EVENT_NS


def test_the_same_event_and_rules_always_give_the_same(evaluated: list[Condition]) -> None:
    event = event_of("a", l=list(range(400)))
    ready = makers(*[summed(terms) for terms in (4, 3, 2, 1) * 30])
    assert facts_of("0" * 32, event, ready) == facts_of("0" * 32, event, ready)
    assert evaluated[: len(evaluated) // 2] == evaluated[len(evaluated) // 2 :]


@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(random=st.integers(0, 2**32).map(Random))
def test_whatever_is_evaluated_over_whatever_event_is_within_the_bounds(
    evaluated: list[Condition], random: Random
) -> None:
    taken: list[str] = []
    for _ in range(8):
        text = arbitrary.condition(random)
        try:
            Condition(text)
        except Malformed:
            continue
        taken.append(text)
    event, ready = arbitrary.event(random), makers(*taken)
    evaluated.clear()
    _, failures = facts_of("0" * 32, event, ready)
    handed: dict[cost.Path, float] = {}
    spent = 0.0
    for condition in evaluated:
        work, handing = work_of(condition, event)
        assert work <= cost.EVALUATION_NS
        spent += work
        handed |= handing
    assert sum(handed.values()) <= cost.EVALUATION_NS
    assert spent + sum(handed.values()) <= cost.EVENT_NS
    assert len(taken) - len(evaluated) <= len(failures)
    assert all(len(failure.why) < 400 for failure in failures)


@pytest.mark.parametrize("shape", arbitrary.SHAPES)
def test_a_value_is_never_larger_than_it_is_counted(shape: str) -> None:
    raw = arbitrary.SHAPES[shape](20_000)
    event = arbitrary.of_json("properties", f'{{"l":{raw}}}')
    counted = Reading(event).size(("properties", "l"))
    value = msgspec.json.decode(raw)
    assert counted is None if value is None else counted is not None
    assert counted is None or counted.items >= items_of(value)


def items_of(value: object) -> int:
    match value:
        case dict():
            return 1 + sum(1 + items_of(each) for each in value.values())  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case list():
            return 1 + sum(map(items_of, value))  # pyright: ignore[reportUnknownArgumentType]
        case _:
            return 1


def plain(number: int) -> dict[str, object]:
    return {
        "id": f"f{number}",
        "event": "order.placed",
        "when": f"event.properties.amount > {number}.0 && event.properties.currency == 'EUR'",
        "fact_type": f"t{number}",
        "fields": {"amount": "properties.amount"},
    }


@pytest.mark.parametrize("challenges", [0, 250])
def test_500_plain_rules_about_one_event_are_taken_and_evaluated(challenges: int, evaluated: list[Condition]) -> None:
    facts = [plain(number) for number in range(500 - challenges)]
    document = {
        "facts": facts,
        "challenges": [{"id": f"c{number}", "fact": f"t{number}", "goal": 1} for number in range(challenges)],
    }
    parsed = parse_document(json.dumps(document).encode())
    evaluated.clear()
    ready = [FactMaker(rule, no) for no, rule in enumerate(parsed.facts, 1)]
    found, failures = facts_of(
        "0" * 32, event_of("order.placed", amount=1000, currency="EUR", note="x" * 100_000), ready
    )
    assert (len(found), failures, len(evaluated)) == (len(facts), [], len(facts))


def _dear(number: int, events: str) -> dict[str, object]:
    """A rule that costs some 30 µs over a plain event: ten searches through a text."""
    texts = [f"event.properties.a.contains('{letter}')" for letter in "abcdefghij"]
    return {"id": f"f{number}", "event": events, "when": " || ".join(texts)}


@pytest.mark.parametrize(
    ("events", "named"),
    [
        (lambda _: "order.placed", "an event named 'order.placed' reaches"),
        (
            lambda number: ("order.*", "order.placed", "*", "order.p*")[number % 4],
            "an event named 'order.placed' reaches",
        ),
        (lambda number: "o" * (number % 50 + 1) + "*", f"an event whose name begins with '{'o' * 50}' reaches"),
        (lambda number: f"order.{number}", ""),
        (lambda number: f"order.{number}*", ""),
    ],
)
def test_the_rules_that_one_event_can_reach_are_bounded_together(events: Callable[[int], str], named: str) -> None:
    rules = [_dear(number, events(number)) for number in range(250)]
    if not named:
        parse_document(json.dumps({"facts": rules}).encode())
        return
    with pytest.raises(InvalidRules) as raised:
        parse_document(json.dumps({"facts": rules}).encode())
    [problem] = raised.value.problems
    assert problem.path == "facts"
    assert problem.detail.startswith(named)
    assert "reaches 250 fact rules" in problem.detail
    assert "'f0' (" in problem.detail


@given(
    st.lists(
        st.builds(
            Share,
            st.just("a"),
            st.text("ab", min_size=0, max_size=4).map("{}*".format) | st.text("ab", min_size=1, max_size=4),
            st.integers(1, 9),
        ),
        max_size=8,
    )
)
def test_no_name_reaches_more_work_than_the_one_that_is_said_to(shares: list[Share]) -> None:
    _, reached = dearest_reach(shares)
    most = 0.0
    for number in range(3**5):
        name = "".join("abc"[number // 3**place % 3] for place in range(5)).rstrip("c")
        most = max(
            most,
            sum(
                s.work for s in shares if s.events == name or (s.events[-1:] == "*" and name.startswith(s.events[:-1]))
            ),
        )
    assert sum(share.work for share in reached) >= most


def test_rules_kept_from_before_that_are_too_much_together_are_bounded_for_each_event(
    evaluated: list[Condition],
) -> None:
    kept = parse_rules({"facts": [_dear(number, "a") for number in range(400)]}, kept=True)
    ready = [FactMaker(rule, no) for no, rule in enumerate(kept.facts, 1)]
    event = event_of("a", a="x" * 3000)
    _, failures = facts_of("0" * 32, event, ready)
    assert 0 < len(evaluated) < 400
    assert len(failures) == 400 - len(evaluated)
    assert sum(work_of(condition, event)[0] for condition in evaluated) <= cost.EVENT_NS


def test_what_was_too_costly_is_counted_with_the_rule_and_the_event(machine: Machine) -> None:
    machine.apply({"facts": [{"id": "a", "event": "boom", "when": f"size({LIST}) > 5"}]})
    machine.react(LONG_LIST)
    found = machine.rulebook.current("p")
    assert found is not None
    [row] = found[1]
    assert (row.failures, row.failed_event) == (1, LONG_LIST.id)
    assert "the event is too large" in row.failed_why


def test_the_reason_of_a_failure_is_short_however_large_the_event(evaluated: list[Condition]) -> None:
    event = event_of("a", key="k" * 50_000, text="x" * 50_000)
    _, failures = facts_of(
        *("0" * 32, event),
        makers(
            "event.tags[event.properties.key] == 'a'",
            "event.properties.text - 1 == 0",
            "int(event.properties.text) > 1",
        ),
    )
    assert len(failures) == len(evaluated) == 3
    assert all(0 < len(failure.why) <= 230 for failure in failures)
