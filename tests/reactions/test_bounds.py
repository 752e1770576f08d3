"""The limits of a rules document and of what is read from an event: exactly so much is accepted, and no more."""

import itertools
from typing import Any

import msgspec
import pytest

from headrace.model.errors import InvalidRules
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.cost import FACT_NS, PICK_NS, STEP_NS
from headrace.reactions.document import FactRule
from headrace.reactions.patterns import matches, overlap
from headrace.reactions.reading import MAX_FIELD_CHARS, Reading
from headrace.reactions.rules import work_of
from headrace.reactions.translation import translate
from tests.reactions.given import event

FACT = {"id": "f", "event": "e"}
CHALLENGE = {"id": "c", "fact": "custom.e", "goal": 1}
BADGE = {"id": "b", "challenge": "c"}
# What a rule has, with the most of it that is accepted, and then one more.
LIMITS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("facts", {"event": "e" * 200}, {"event": "e" * 201}),
    ("facts", {"event": "e", "fact_type": "t" * 200}, {"fact_type": "t" * 201}),
    ("facts", {"fields": {"n" * 100: "value"}}, {"fields": {"n" * 101: "value"}}),
    (
        "facts",
        {"fields": {f"n{each}": "value" for each in range(20)}},
        {"fields": {f"n{each}": "value" for each in range(21)}},
    ),
    ("facts", {"fields": {"n": "properties." + "p" * 200}}, {"fields": {"n": "properties." + "p" * 201}}),
    ("facts", {"fields": {"n": "tags.t"}}, {"fields": {"n": "tags"}}),
    ("facts", {"id": "i" * 64}, {"id": "i" * 65}),
    ("facts", {"title": "t" * 2000}, {"title": "t" * 2001}),
    ("facts", {"points": 1_000_000}, {"points": 1_000_001}),
    ("facts", {"points": 0}, {"points": -1}),
    ("challenges", {"fact": "custom." + "e" * 192 + "*"}, {"fact": "custom." + "e" * 193 + "*"}),
    ("challenges", {"goal": 10**15}, {"goal": 10**15 + 1}),
    ("challenges", {"goal": 365, "measure": "streak"}, {"goal": 366, "measure": "streak"}),
    ("challenges", {"goal": 500, "measure": {"distinct": "x"}}, {"goal": 501, "measure": {"distinct": "x"}}),
    ("challenges", {"goal": 501, "measure": {"sum": "x"}}, {"goal": 1.5, "measure": "count"}),
    ("challenges", {"window": {"days": 366}}, {"window": {"days": 367}}),
    ("challenges", {"window": {"days": 1}}, {"window": {"days": 0}}),
    ("challenges", {"window": {"hours": 168}}, {"window": {"hours": 169}}),
    ("challenges", {"window": {"from": "2025-01-06T10:00Z", "to": "2025-01-06T10:00Z"}},
     {"window": {"from": "2025-01-06T10:01Z", "to": "2025-01-06T10:00Z"}}),
    ("badges", {"times": 1_000_000}, {"times": 1_000_001}),
]  # fmt: skip


def accepts(part: str, change: dict[str, Any]) -> bool:
    document = {"facts": [FACT | {"fields": {"x": "value"}}], "challenges": [CHALLENGE], "badges": [BADGE]}
    document[part] = [document[part][0] | change]
    if part == "facts":  # which may be called otherwise now, and has no other field to add up
        document |= {"challenges": [], "badges": []}
    try:
        parse_document(msgspec.json.encode(document))
    except InvalidRules:
        return False
    return True


@pytest.mark.parametrize(("part", "most", "more"), LIMITS)
def test_a_rule_may_have_as_much_as_its_limit_and_no_more(part: str, most: Any, more: Any) -> None:
    assert (accepts(part, most), accepts(part, more)) == (True, False)


def test_a_document_may_have_500_rules_and_no_more() -> None:
    for rules, is_accepted in ((500, True), (501, False)):
        document = {"facts": [{"id": f"f{each}", "event": f"e{each}"} for each in range(rules)]}
        if is_accepted:
            assert len(parse_document(msgspec.json.encode(document)).facts) == rules
        else:
            with pytest.raises(InvalidRules, match="500"):
                parse_document(msgspec.json.encode(document))


@pytest.mark.parametrize(
    ("change", "path", "says"),
    [
        ({"measure": "streak", "window": {"per": "day"}}, "window", "a streak can only have a window of fixed dates"),
        ({"measure": "streak", "window": {"days": 3}}, "window", "a streak can only have a window of fixed dates"),
        ({"window": {}}, "window", "give one of"),
        ({"window": {"from": "2025-01-07", "to": "2025-01-06"}}, "window", "'from' is after 'to'"),
        ({"window": {"hours": 3}, "repeat": True}, "repeat", "cannot repeat"),
        ({"measure": {"distinct": "x"}, "repeat": True}, "repeat", "'distinct' can only repeat"),
    ],
)
def test_a_window_that_does_not_fit_the_measure_is_refused_with_the_reason(
    change: dict[str, Any], path: str, says: str
) -> None:
    facts = [FACT | {"fields": {"x": "value"}}]
    with pytest.raises(InvalidRules) as raised:
        parse_document(msgspec.json.encode({"facts": facts, "challenges": [CHALLENGE | change]}))
    [problem] = raised.value.problems
    assert problem.path == f"challenges[0].{path}"
    assert says in problem.detail


@pytest.mark.parametrize("window", [{"from": "2025-01-06"}, {"to": "2025-01-06"}, None])
def test_a_streak_may_have_fixed_dates(window: Any) -> None:
    assert accepts("challenges", {"measure": "streak", "window": window})


def test_two_patterns_overlap_if_some_text_matches_both() -> None:
    texts = ["".join(each) for length in range(5) for each in itertools.product("ab.", repeat=length)]
    patterns = [text + star for text in texts if len(text) < 4 for star in ("", "*")]
    matched = {pattern: {text for text in texts if matches(pattern, text)} for pattern in patterns}
    for one, other in itertools.product(patterns, repeat=2):
        assert overlap(one, other) == (not matched[one].isdisjoint(matched[other])), (one, other)


def test_a_rule_about_a_type_is_not_fed_by_a_type_that_is_one_dot_longer() -> None:
    """`order.*` has a dot that `order` lacks, so no event is both."""
    assert not accepts("challenges", {"fact": "order"})
    assert not overlap("order.*", "order")
    assert not overlap("order", "order.*")
    assert overlap("order.*", "order.")
    assert overlap("order*", "order")


@pytest.mark.parametrize(
    ("text", "is_read"),
    [
        ('"' + "x" * MAX_FIELD_CHARS + '"', True),
        ('"' + "x" * (MAX_FIELD_CHARS + 1) + '"', False),
        ('"' + r"\ud83d\ude00" * MAX_FIELD_CHARS + '"', True),  # as long as such a text can be in JSON
        ('""', False),
        ("1." + "1" * 398, True),
        ("1." + "1" * 399, False),
        (str(2**63 - 1), True),
        (str(2**63), False),
        (str(1 - 2**63), True),
        ("true", True),
        ("null", False),
        ("[1]", False),
        ("{}", False),
    ],
    ids=range(13),
)
def test_a_field_is_read_if_it_is_a_scalar_within_its_limits(text: str, is_read: bool) -> None:
    given = msgspec.structs.replace(event("e"), properties=f'{{"x": {text}}}')
    found = Reading(given).scalar("properties", "x")
    assert found == (msgspec.json.decode(text) if is_read else None)
    assert MAX_FIELD_CHARS == 200


@pytest.mark.parametrize(("length", "is_read"), [(200, True), (201, False)])
def test_a_tag_and_the_events_own_fields_have_the_same_limit(length: int, is_read: bool) -> None:
    text = "x" * length
    reading = Reading(msgspec.structs.replace(event("e", text), tags={"t": text}))
    assert (reading.tag("t"), reading.field("user_id")) == ((text, text) if is_read else (None, None))


def test_a_size_is_counted_for_exactly_the_values_that_an_event_has() -> None:
    """Without one, a condition that reads it would be judged cheaper than it is."""
    bare = event("e")
    full = msgspec.structs.replace(event("e", x=1), value=0.0, tags={"t": "1"})
    for path in (("value", None), ("properties", "x"), ("tags", "t")):
        has_size = [Reading(each).size(path) is not None for each in (bare, full)]
        has_value = [bool(Reading(each).values([path])[0]) for each in (bare, full)]
        assert has_size == has_value == [False, True]


@pytest.mark.parametrize("fields", [0, 1, 20])
def test_each_field_that_a_rule_picks_counts_towards_what_one_event_may_cost(fields: int) -> None:
    rule = FactRule(id="f", event="e", fields={f"n{each}": "value" for each in range(fields)})
    assert work_of(rule) == FACT_NS + fields * PICK_NS


@pytest.mark.parametrize("constant", ["2.0", "'two'", "true"])
def test_each_constant_of_a_list_counts_as_a_step_for_itself_and_one_for_its_place(constant: str) -> None:
    without, with_one = (translate(f"event.properties.a in [1.0{more}]").work for more in ("", f", {constant}"))
    assert with_one.at_plain() - without.at_plain() >= 2 * STEP_NS
