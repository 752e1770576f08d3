"""Fields and filters in the native dialect's questions. Translates; never queries."""

from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import msgspec

from headrace.dialects.names import decode_known, nearest
from headrace.model.conditions import (
    COLUMNS,
    MAX_CONDITIONS,
    MAX_PATH,
    MAX_VALUE_CHARS,
    MAX_VALUES,
    OPS,
    ORDERS,
    Condition,
    Field,
    Op,
    Value,
)
from headrace.model.errors import InvalidRequest
from headrace.model.filters import Filters
from headrace.model.labels import LARGEST
from headrace.model.nearest import nearest_name

Written: TypeAlias = str | list[str]
_MAX_SHOWN = 80
_MAX_KEY_CHARS = 200
_MAX_PEOPLE = 10
_OTHERS = ("value", "person", "tags.<name>", "properties.<name>")
_TEXT_OPS: tuple[Op, ...] = ("=", "!=", "in", "exists", "contains")
_KNOWN_OPS: dict[str, tuple[Op, ...]] = {
    "column": _TEXT_OPS,
    "tag": _TEXT_OPS,
    "person": ("=", "!=", "in", "exists"),
    "value": ("=", "!=", "in", *ORDERS, "exists"),
    "property": OPS,
}
# What has a filter of its own, which the store answers fastest.
_PLAIN = frozenset({"name", "user_id", "source", "session_id", "environment", "service", "host"})


class _Filter(msgspec.Struct, forbid_unknown_fields=True):
    field: Written | None = None
    op: str = "="
    value: Any = None


_filter_decoder = msgspec.json.Decoder(_Filter)


def field_of(written: Written, where: str, /) -> Field:
    """`name`, `value`, `person`, `tags.<name>`, `properties.<name>.<name>`, or the parts of it as an array.

    Raises InvalidRequest, which says `where`.
    """
    if isinstance(written, list):
        first, *rest = written or [""]
    elif written.startswith("properties."):
        first, *rest = written.split(".")
    else:
        first, dot, name = written.partition(".")
        rest = [name] if dot else []
    if any(len(each) > _MAX_KEY_CHARS for each in rest):
        raise InvalidRequest(f"{where} has a name of more than {_MAX_KEY_CHARS} characters.")
    if first in COLUMNS and not rest:
        return Field("column", (first,))
    if first in ("value", "person") and not rest:
        return Field("value" if first == "value" else "person")
    if first == "tags" and len(rest) == 1:
        return Field("tag", (rest[0],))
    if first == "properties" and 1 <= len(rest) <= MAX_PATH:
        return Field("property", tuple(rest))
    if first == "properties" and rest:
        raise InvalidRequest(f"{where} goes more than {MAX_PATH} properties deep.")
    shown = written if isinstance(written, str) else ".".join(written)
    hint = nearest_name(first, ("tags", "properties"))
    if first in ("tags", "properties") or (rest and hint):
        raise InvalidRequest(f"{where} must name a {hint}: {hint}.<name>; it is {shown[:_MAX_SHOWN]!r}.")
    raise InvalidRequest(
        f"{where} is {shown[:_MAX_SHOWN]!r}, which is not a field: {nearest(shown, (*COLUMNS, *_OTHERS))}"
    )


def filters_of(raws: Sequence[msgspec.Raw], where: str, base: Filters, /) -> Filters:
    """Filters that all have to hold, added to others. Raises InvalidRequest."""
    plain: dict[str, str] = {}
    tags: list[tuple[str, str]] = []
    conditions: list[Condition] = []
    for condition in conditions_of(raws, where):
        field, value = condition.field, condition.values[0]
        is_equal = condition.op == "=" and isinstance(value, str)
        if is_equal and field.kind == "column" and field.path[0] in _PLAIN and field.path[0] not in plain:
            plain[field.path[0]] = cast("str", value)
        elif is_equal and field.kind == "tag":
            tags.append((field.path[0], cast("str", value)))
        else:
            conditions.append(condition)
    return msgspec.structs.replace(base, **plain, tags=(*base.tags, *tags), conditions=(*base.conditions, *conditions))


def conditions_of(raws: Sequence[msgspec.Raw], where: str, /) -> list[Condition]:
    """Raises InvalidRequest."""
    if len(raws) > MAX_CONDITIONS:
        raise InvalidRequest(f"'{where}' has {len(raws)} entries; the limit is {MAX_CONDITIONS}.")
    return [_condition(raw, f"'{where}[{number}]'") for number, raw in enumerate(raws)]


def _condition(raw: msgspec.Raw, where: str) -> Condition:
    given = decode_known(_filter_decoder, raw, where, _Filter)
    if given.field is None:
        raise InvalidRequest(f"{where} lacks 'field': send a field such as name or properties.plan.")
    field = field_of(given.field, f"'field' of {where}")
    known = _KNOWN_OPS[field.kind]
    if given.op not in OPS:
        raise InvalidRequest(f"'op' of {where} must be one of {' '.join(OPS)}; it is {given.op[:_MAX_SHOWN]!r}.")
    op = given.op
    if op not in known:
        raise InvalidRequest(f"'op' of {where} must be one of {' '.join(known)} for this field; it is {op!r}.")
    if op == "exists":
        if given.value is not None and not isinstance(given.value, bool):
            raise InvalidRequest(f"'value' of {where} must be true or false for exists, or absent.")
        return Condition(field, op, [given.value is not False])
    if op != "in":
        return Condition(field, op, [_value(given.value, field, op, where)])
    if not isinstance(given.value, list) or not given.value:
        raise InvalidRequest(f"'value' of {where} must be an array of values for in.")
    listed = cast("list[Any]", given.value)
    limit = _MAX_PEOPLE if field.kind == "person" else MAX_VALUES
    if len(listed) > limit:
        raise InvalidRequest(f"'value' of {where} has {len(listed)} values; the limit is {limit}.")
    return Condition(field, op, [_value(each, field, op, where) for each in listed])


def _value(value: Any, field: Field, op: Op, where: str) -> Value:
    what = f"'value' of {where}"
    if value is None:
        raise InvalidRequest(f"{what} is required; to find events without the field, use exists with false.")
    if isinstance(value, bool):
        if field.kind == "property" and op in ("=", "!=", "in"):
            return value
    elif isinstance(value, str):
        if len(value) > MAX_VALUE_CHARS:
            raise InvalidRequest(f"{what} has {len(value)} characters; the limit is {MAX_VALUE_CHARS}.")
        if not value and (field.kind in ("column", "person") or op == "contains"):
            raise InvalidRequest(f"{what} is empty; to find events without the field, use exists with false.")
        if op not in ORDERS and field.kind != "value":
            return value
    elif isinstance(value, int | float) and field.is_numeric and op != "contains":
        if abs(value) > LARGEST:
            raise InvalidRequest(f"{what} must fit into a double.")
        return float(value)
    wanted = "a number" if field.kind == "value" or op in ORDERS else "a string"
    if field.kind == "property" and op in ("=", "!=", "in"):
        wanted = "a string, a number, true or false"
    raise InvalidRequest(f"{what} must be {wanted}.")
