"""Conditions: whatever one says, and whatever event it is about, it is true, false or said to be malformed."""

from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.event import Event
from headrace.reactions.conditions import FIELDS, FUNCTIONS, Condition, Malformed
from headrace.reactions.document import FactRule
from headrace.reactions.facts import FactMaker, facts_of
from tests.reactions.given import event

EVENTS = [event("order.a", amount=amount) for amount in (None, "much", 10**400, 2**63, -0.5, [{}], True)]
ATOMS = [
    *(f"event.{field}" for field in sorted(FIELDS)),
    *(
        "event.properties.amount",
        "0",
        "-1",
        "9223372036854775807",
        "1u",
        "1e308",
        "null",
        "[]",
        "{}",
        "'Europe/Berlin'",
    ),
    *("timestamp('9999-12-31T23:59:59-12:00')", "duration('9223372036s')", "'\N{GRINNING FACE}'"),
]


def judge(text: str, event: Event) -> bool:
    """Whether a condition is true of an event. Raises Malformed when it is refused, or has no truth value."""
    Condition(text)
    facts, failures = facts_of("0" * 32, event, [FactMaker(FactRule(id="a", event="*", when=text), 1)])
    if failures:
        raise Malformed(failures[0].why)
    return facts[0].rule_no == 1


def _larger(smaller: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from([*"+-*/%<>", "==", "&&", "||", " in ", "? true :"])
    functions = st.sampled_from(sorted(FUNCTIONS))
    return st.one_of(
        st.tuples(smaller, operators, smaller).map("({0[0]}{0[1]}{0[2]})".format),
        st.tuples(functions, smaller).map("{0[0]}({0[1]})".format),
        st.tuples(smaller, functions, smaller).map("{0[0]}.{0[1]}({0[2]})".format),
        st.tuples(smaller, smaller).map("{0[0]}[{0[1]}]".format),
        st.tuples(smaller, st.characters()).map("".join),
    )


@settings(deadline=None, max_examples=500)
@given(text=st.recursive(st.sampled_from(ATOMS), _larger, max_leaves=6), index=st.integers(0, len(EVENTS) - 1))
def test_whatever_a_condition_says_it_is_true_or_false_or_malformed(text: str, index: int) -> None:
    with suppress(Malformed):
        found = judge(text, EVENTS[index])
        assert isinstance(found, bool), msgspec.json.encode(text)


@pytest.mark.parametrize(
    "text", ["1 + 1", "'a'", "null", "event.name", "event.timestamp", "size(event.user_id)", "event.value"]
)
def test_what_can_never_be_true_or_false_is_refused_before_it_is_kept(text: str) -> None:
    with pytest.raises(Malformed, match="not true or false"):
        Condition(text)


@pytest.mark.parametrize(
    "text", ["true", "event.name == 'a'", "event.properties.x", "int(event.user_id) > 3", "event.properties.a[0]"]
)
def test_what_some_event_may_make_true_is_kept(text: str) -> None:
    assert Condition(text).text == text


@pytest.mark.parametrize(
    ("text", "properties", "expected"),
    [
        ("event.properties.amount * 1.2 > 50.0", {"amount": 100}, True),
        ("event.properties.amount * 1.2 > 50.0", {"amount": 99.5}, True),
        ("event.properties.amount * 2 > 150", {"amount": 100}, True),
        ("event.properties.amount * 2 > 150", {"amount": 99.5}, True),
        ("event.properties.amount + -1 == 4", {"amount": 5}, True),
        ("(has(event.properties.amount) ? event.properties.amount : 0) + 1 == 1", {}, True),
        ("(has(event.properties.amount) ? 7 : 4) % 2 == 1", {"amount": 5}, True),
        ("event.properties.amount - size(event.properties.list) == 3", {"amount": 5, "list": [1, 2]}, True),
        ("event.properties.level == 5", {"level": 5}, True),
        ("event.properties.level == 5", {"level": 5.0}, True),
        ("event.properties.level == 5", {"level": 5.5}, False),
        ("event.properties.level in [1, 5]", {"level": 5}, True),
        ("event.properties.levels == [1, 2.5]", {"levels": [1, 2.5]}, True),
        ("5 in event.properties.levels", {"levels": [{"a": 1}, 5]}, True),
        ("event.properties.order.lines[0].price * 1.5 > 2", {"order": {"lines": [{"price": 2}]}}, True),
        ("int(event.properties.level) % 2 == 1", {"level": 5}, True),
        ("string(event.properties.level) == '5'", {"level": 5}, True),
        ("event.properties.id == 9007199254740993", {"id": 9007199254740993}, True),
        ("event.value + 1 == 3.5", {}, True),
    ],
)
def test_numbers_of_an_event_are_doubles_and_whole_numbers_beside_them_too(
    text: str, properties: dict[str, Any], expected: bool
) -> None:
    assert judge(text, msgspec.structs.replace(event("a", **properties), value=2.5)) is expected


@pytest.mark.parametrize(
    ("text", "properties", "expected"),
    [
        ("has(event.properties.coupon)", {"coupon": "x"}, True),
        ("has(event.properties.coupon)", {"coupon": None}, False),
        ("has(event.properties.coupon)", {}, False),
        ("event.properties.coupon == null", {"coupon": None}, True),
        ("event.properties.coupon == null", {}, True),
        ("null != event.properties.coupon", {"coupon": "x"}, True),
        ("event.properties['a b'] == null", {"a b": 1}, False),
        ("has(event.properties.order.coupon)", {"order": {"coupon": None}}, False),
        ("event.properties.list == [null]", {"list": [None]}, True),
        ("has(event.value)", {}, False),
        ("event.value == null", {}, True),
        ("has(event.user_id)", {}, True),
        ("has(event.session_id)", {}, False),
    ],
)
def test_what_is_null_is_absent_as_in_filters(text: str, properties: dict[str, Any], expected: bool) -> None:
    assert judge(text, event("a", **properties)) is expected


@pytest.mark.parametrize(
    "text", ["event.tags.plan == 'pro'", "event.tags['plan'] == 'pro'", "event.tags == {'plan': 'pro'}"]
)
def test_a_tag_is_the_tag_or_else_the_text_property_of_that_name_as_in_filters(text: str) -> None:
    bare = event("a", plan="free")
    assert judge(text, msgspec.structs.replace(bare, tags={"plan": "pro"}))
    assert judge(text, msgspec.structs.replace(bare, labels={"plan": "pro"}))
    assert not judge(text, msgspec.structs.replace(bare, tags={"plan": "free"}, labels={"plan": "pro"}))
    picks = FactMaker(FactRule(id="a", event="*", fields={"plan": "tags.plan"}), 1)
    [fact] = facts_of("0" * 32, msgspec.structs.replace(bare, labels={"plan": "pro"}), [picks])[0]
    assert fact.fields == {"plan": "pro"}


def test_the_parts_of_a_time_can_be_asked_in_a_zone() -> None:
    at_noon = msgspec.structs.replace(event("a"), timestamp_ms=1_720_000_000_000)  # 2024-07-03T09:46:40Z
    assert judge("event.timestamp.getHours() == 9", at_noon)
    assert judge("event.timestamp.getHours('Europe/Berlin') == 11", at_noon)
    assert judge(
        "event.timestamp.getHours('Asia/Kolkata') == 15 && event.timestamp.getMinutes('Asia/Kolkata') == 16", at_noon
    )
    assert judge("event.timestamp.getDayOfWeek('Pacific/Kiritimati') == 3", at_noon)
    assert judge("event.timestamp.getHours('Pacific/Kiritimati') == 23", at_noon)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("event.timestamp.getHours('Mars/Base') == 1", "not a time zone"),
        ("timestamp(event.properties.at).getHours('Europe/Berlin') == 1", "only event.timestamp takes a time zone"),
        ("event.properties.at.getHours() == 1", "is not a timestamp"),
        ("event.name == 5", "never equal"),
        ("event.timestamp == '2024-01-01'", "never equal"),
        ("event.timestamp > '2024-01-01'", "cannot be compared"),
        ("event.properties.amount > null", "cannot be compared"),
        ("event.tags.plan > 5", "cannot be compared"),
        ("event.properties.level % 2 == 0", "int(event.properties.x) % 2"),
        ("event.name + 1 == 'a'", "cannot combine"),
        ("'a' in event.name", "text.contains(part)"),
        ("event.properties == 'a'", "never equal"),
        ("!event.name", "cannot be negated"),
        ("event.name && true", "cannot be joined"),
        ("event.name ? true : false", "cannot decide"),
        ("size(event.value) == 1", "has no size"),
        ("int(event.timestamp) == 1", "cannot be made into int"),
        ("event.name.a == 1", "has no member"),
        ("contains(event.name, 'a')", "is written as text.contains(part)"),
        ("has(event.properties['a'])", "takes a path"),
        ("1 == 2", "never true"),
        ("1u - 2u == 1u", "overflow"),
        ("event.properties.x == event", "followed by a field"),
        ("event.properties.x{a: 1}", "cannot stand here"),
        ("event.properties.?x", "cannot stand here"),
        ("event.name == 'a' event.name", "cannot stand here (at character 19)"),
        ("event.properties.a[0", "its end cannot stand here"),
        ("1" + "+1" * 120 + " == 1", "one after the other"),
    ],
)
def test_what_can_be_true_of_no_event_is_refused_with_the_reason(text: str, says: str) -> None:
    with pytest.raises(Malformed) as raised:
        Condition(text)
    assert says in str(raised.value)


def test_one_number_that_is_too_large_fails_the_conditions_that_read_it_and_no_other() -> None:
    large = event("a", amount=10**399, level=5)
    assert judge("event.properties.level == 5", large)
    with pytest.raises(Malformed, match="too large"):
        judge("event.properties.amount > 5", large)
    for digits in (401, 5_000, 200_000):
        text = f'{{"level": 5, "amount": {"1" * digits}, "list": [{"1" * digits}]}}'
        longer = msgspec.structs.replace(large, properties=text)
        assert judge("event.properties.level == 5", longer)
        assert judge(
            "size(event.properties.texts) == 1",
            msgspec.structs.replace(large, properties=f'{{"texts":["{"1" * digits}"]}}'),
        )
        for condition in ("event.properties.amount > 5", "event.properties.list == [1]", "event.properties == {}"):
            with pytest.raises(Malformed, match=r"too (long|large)"):
                judge(condition, longer)


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        ("size() == 1", "size(value)"),
        ("event.name.int() == 1", "int(value)"),
        ("startsWith(event.name, 'a')", "text.startsWith(part)"),
        ("event.name.contains()", "text.contains(part)"),
        ("getHours(event.timestamp) == 1", "time.getHours()"),
        ("event.name.has(1)", "has(event.properties.coupon)"),
    ],
)
def test_a_function_that_is_called_wrongly_is_shown_as_it_is_written(condition: str, written: str) -> None:
    with pytest.raises(Malformed) as malformed:
        Condition(condition)
    assert str(malformed.value).endswith(f"() is written as {written}")


@pytest.mark.parametrize("key", ["plan", "größe", "日", "with blank", "1st", "a.b", "", "in", "x_1", "Ünï_1"])
def test_a_property_may_have_any_key(key: str) -> None:
    assert judge(f"event.properties['{key}'] == 'yes'", event("n", **{key: "yes", f"{key}x": "no"}))
    assert not judge(f"event.properties['{key}'] == 'yes'", event("n", **{key: "no", f"{key}x": "yes"}))


def test_a_condition_may_have_500_characters_and_not_one_more() -> None:
    start, end = "event.name == '", "'"
    whole = f"{start}{'x' * (500 - len(start) - len(end))}{end}"
    assert not judge(whole, event("n"))
    with pytest.raises(Malformed, match="500"):
        Condition(f"{whole[:-1]}x'")
