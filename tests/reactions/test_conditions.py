"""Conditions: whatever one says, and whatever event it is about, it is true, false or said to be malformed."""

from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.reactions.conditions import FIELDS, FUNCTIONS, Condition, Malformed, context_of, parse_objects
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
        condition = Condition(text)
        found = condition.holds(context_of(EVENTS[index], parse_objects(EVENTS[index]), [condition]))
        assert isinstance(found, bool), msgspec.json.encode(text)


@pytest.mark.parametrize("text", ["1 + 1", "'a'", "null", "event.name", "event.timestamp", "size(event.user_id)"])
def test_what_can_never_be_true_or_false_is_refused_before_it_is_kept(text: str) -> None:
    with pytest.raises(Malformed, match="not true or false"):
        Condition(text)


@pytest.mark.parametrize(
    "text", ["true", "event.name == 'a'", "event.properties.x", "int(event.user_id) > 3", "event.value"]
)
def test_what_some_event_may_make_true_is_kept(text: str) -> None:
    assert Condition(text).text == text
