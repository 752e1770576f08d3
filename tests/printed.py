"""How the parts of an event read in filters and groups, by brute force: the specification of what conditions mean."""

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from headrace.model.conditions import Condition, Field
from headrace.model.event import Event
from headrace.model.filters import Dimension


def properties_of(event: Event) -> dict[str, Any]:
    return json.loads(event.properties) if event.properties else {}


def tag_of(event: Event, key: str) -> str | None:
    if key in event.tags:
        return event.tags[key]
    value = properties_of(event).get(key)
    return value if isinstance(value, str) else None


def property_of(event: Event, key: str) -> str | None:
    value = properties_of(event).get(key)
    return value if value is None or isinstance(value, str) else print_json(value)


def spellings(event: Event, key: str, value: str) -> set[str]:
    """The property's texts that a filter's value matches: a number by any spelling of its value."""
    return {value} if isinstance(properties_of(event).get(key), str) else respelled(value)


def respelled(value: str) -> set[str]:
    """The texts that a filter's value matches, of a property that is no string."""
    if not re.fullmatch(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", value, re.ASCII):
        return {value}
    number = float(value) if set(value) & set(".eE") else None
    return {value} if number is None or math.isinf(number) else {print_json(number)}


def number_at(event: Event, field: Dimension) -> float | None:
    if field.kind == "value":
        return event.value
    value = properties_of(event).get(field.key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_ESCAPES |= {"\u2028": "\\u2028", "\u2029": "\\u2029"}
_ESCAPES = {chr(code): f"\\u{code:04X}" for code in range(32)} | _ESCAPES


def print_json(value: object, /) -> str:
    """Compact JSON, numbers as JavaScript prints them: how a property that is no string reads in a filter or a group."""
    match value:
        case None | bool():
            return json.dumps(value)
        case str():
            return '"' + "".join(_ESCAPES.get(each, each) for each in value) + '"'
        case int():
            return str(value)
        case float():
            return _print_double(value)
        case dict():
            return "{" + ",".join(f"{print_json(key)}:{_print_inner(each)}" for key, each in value.items()) + "}"
        case _:
            assert isinstance(value, Iterable)
            return "[" + ",".join(map(_print_inner, value)) + "]"


def _print_inner(value: object) -> str:
    past_64_bits = isinstance(value, int) and not -(2**63) <= value < 2**64
    return f'"{value}"' if past_64_bits else print_json(value)


def _print_double(number: float) -> str:
    """The shortest digits that give the double back, laid out as ECMAScript's Number::toString, but 1e21 for 1e+21."""
    sign = "-" if math.copysign(1, number) < 0 else ""
    mantissa, exponent = f"{abs(number)!r}e0".split("e")[:2]
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if not digits:
        return f"{sign}0"
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    return f"{sign}{digits[0]}{'.' if digits[1:] else ''}{digits[1:]}e{point - 1}"


def at_path(event: Event, path: tuple[str, ...]) -> Any:
    """A property by the keys that lead to it; None where there is none, and for null."""
    value: Any = properties_of(event)
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def owner_of(event: Event) -> str:
    return event.user_id or event.anonymous_id


def text_at(event: Event, field: Field) -> str | None:
    """A field's text; a person's is the id that the event has."""
    if field.kind == "column":
        return getattr(event, field.path[0]) or None
    if field.kind == "tag":
        return tag_of(event, field.path[0])
    if field.kind == "person":
        return owner_of(event) or None
    value = at_path(event, field.path)
    return value if value is None or isinstance(value, str) else _print_at(value, len(field.path))


def _print_at(value: Any, depth: int) -> str:
    return print_json(value) if depth == 1 or not _is_past_64_bits(value) else str(value)


def _is_past_64_bits(value: Any) -> bool:
    return isinstance(value, int) and not -(2**63) <= value < 2**64


def number_of(event: Event, field: Field) -> float | None:
    if field.kind == "value":
        return event.value
    value = at_path(event, field.path)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if len(field.path) > 1 and _is_past_64_bits(value):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def holds(event: Event, condition: Condition) -> bool:
    field, op, values = condition.field, condition.op, condition.values
    if op == "!=":
        return not any(_is(event, field, value) for value in values)
    if op in ("=", "in"):
        return any(_is(event, field, value) for value in values)
    if op == "exists":
        found = event.value if field.kind == "value" else text_at(event, field)
        return (found is not None) == values[0]
    if op == "contains":
        return str(values[0]) in (text_at(event, field) or "")
    number, bound = number_of(event, field), values[0]
    assert isinstance(bound, float)
    return (
        number is not None
        and {
            ">": number > bound,
            "<": number < bound,
            ">=": number >= bound,
            "<=": number <= bound,
        }[op]
    )


def _is(event: Event, field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return at_path(event, field.path) is value
    if isinstance(value, float):
        return number_of(event, field) == value
    text = text_at(event, field)
    if field.kind != "property" or text is None or isinstance(at_path(event, field.path), str):
        return text == value
    return text in respelled(value)
