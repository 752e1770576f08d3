"""The filters of a native question: those that the store has an answer for, and conditions for the rest."""

from typing import Any

import msgspec

from headrace.dialects.native_fields import filters_of
from headrace.model.conditions import Condition, Field
from headrace.model.filters import Filters


def parsed(*given: dict[str, Any], base: Filters = Filters()) -> Filters:  # noqa: B008
    return filters_of([msgspec.Raw(msgspec.json.encode(each)) for each in given], "filters", base)


def test_what_equals_a_text_is_a_plain_filter_and_everything_else_a_condition() -> None:
    assert parsed(
        {"field": "name", "value": "order"},
        {"field": "tags.plan", "op": "=", "value": "pro"},
        {"field": "tags.plan", "op": "!=", "value": "free"},
        {"field": "user_id", "op": "!=", "value": "u"},
        {"field": "source", "op": "in", "value": ["flux"]},
        {"field": "properties.total", "value": 3},
        {"field": "properties.total", "value": "3"},
    ) == Filters(
        name="order",
        tags=(("plan", "pro"),),
        conditions=(
            Condition(Field("tag", ("plan",)), "!=", ["free"]),
            Condition(Field("column", ("user_id",)), "!=", ["u"]),
            Condition(Field("column", ("source",)), "in", ["flux"]),
            Condition(Field("property", ("total",)), "=", [3.0]),
            Condition(Field("property", ("total",)), "=", ["3"]),
        ),
    )


def test_two_filters_of_one_field_both_hold_and_those_that_were_there_stay() -> None:
    base = Filters(from_ms=5, tags=(("a", "1"),), conditions=(Condition(Field("person"), "=", ["u"]),))
    found = parsed(
        {"field": "host", "value": "x"}, {"field": "host", "value": "y"}, {"field": "tags.a", "value": "2"}, base=base
    )
    assert found == Filters(
        host="x",
        from_ms=5,
        tags=(("a", "1"), ("a", "2")),
        conditions=(*base.conditions, Condition(Field("column", ("host",)), "=", ["y"])),
    )
