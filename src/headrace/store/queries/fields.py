"""What a field of an event is in SQL, and whether it is what a condition says. Pure; values are bound parameters.

Two things that JSON leaves open: of a key that an object has twice a property filter sees the first value, a tag filter and a
statistic the last; and an integer past 64 bits is a string of its digits. So one is found by them and not as 1e20, which would
find the strings too.
"""

import re
import struct
from collections.abc import Mapping, Sequence
from math import isfinite

from headrace.model.conditions import COLUMNS, ORDERS, Condition, Field, Value
from headrace.model.own_columns import ColumnKey, ColumnKind, CountedBy


class Hot:
    """The tags and properties that have a column of their own.

    A tag's is NULL where an event has neither the tag nor the string property. A number's is NULL where an event has no such
    number. For a property's see `property_value`.
    """

    def __init__(self, columns: Mapping[ColumnKey, str] | None = None, /) -> None:
        """columns: the name of each one's column."""
        self._columns = columns or {}
        self._counts: Mapping[tuple[str, CountedBy], str] = {}

    def of(self, kind: ColumnKind, path: tuple[str, ...], /) -> str | None:
        """The name of a column to use, if there is one. It may be there at one moment and not at the next."""
        return self._columns.get(ColumnKey(kind, path))

    def tag(self, key: str, /) -> str | None:
        return self.of("tag", (key,))

    def counts_of(self, column: str, by: CountedBy, /) -> str | None:
        """The projection with such a column's counts, if there is one to use."""
        return self._counts.get((column, by))


NONE_HOT = Hot()

# Where a tag's text is, and no key is in both.
TAGGED = ("tags", "labels")
# Whose an event is: its user's, else its anonymous visitor's. An event is never both.
OWNER = "if(user_id = '', anonymous_id, user_id)"


class Values:
    """Gives each value a placeholder of its own. `prefix` keeps the placeholders of several lists apart."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.params: dict[str, object] = {}

    def text(self, value: str, /) -> str:
        return self._bind(value, "String")

    def texts(self, values: Sequence[str], /) -> str:
        return self._bind(list(values), "Array(String)")

    def number(self, value: float, /) -> str:
        """As its bits, because the engine reads a double's digits to within a few units of the last place."""
        return f"reinterpretAsFloat64({self._bind(struct.unpack('<Q', struct.pack('<d', value))[0], 'UInt64')})"

    def _bind(self, value: object, kind: str) -> str:
        name = f"{self._prefix}{len(self.params)}"
        self.params[name] = value
        return f"{{{name}:{kind}}}"


def has(column: str, key: str) -> str:
    return f"mapContains({column}, {key})"


def has_tag(key: str) -> str:
    return f"({' OR '.join(has(column, key) for column in TAGGED)})"


def tag(key: str) -> str:
    return f"concat(tags[{key}], labels[{key}])"


def tag_is(key: str, text: str, *, empty: bool) -> str:
    """No key is in both maps, and an absent key reads as the empty string."""
    return f"({has_tag(key)} AND {tag(key)} = {text})" if empty else f"(tags[{key}] = {text} OR labels[{key}] = {text})"


def property_text(path: str) -> str:
    """A property's text: a string's own, anything else's JSON; null for a JSON null and for none."""
    path = f"properties, {path}"
    return (
        f"multiIf(JSONType({path}) = 'Null', NULL, "
        f"JSONType({path}) = 'String', JSONExtractString({path}), JSONExtractRaw({path}))"
    )


def property_value(path: str) -> str:
    """What a property's own column holds: a quotation mark and a string's text, or anything else's JSON, or "" for none.

    So it tells a string from what its text looks like.
    """
    found = f"JSONExtractRaw(properties, {path})"  # the engine computes it once, and it is the most expensive part
    return f"if(startsWith({found}, '\"'), concat('\"', JSONExtractString({found})), {found})"


def text_in(column: str) -> str:
    """The same as `property_text`, of a property's own column."""
    return f"multiIf({column} IN ('', 'null'), NULL, startsWith({column}, '\"'), substring({column}, 2), {column})"


def is_in(column: str, values: "Values", value: str) -> str:
    """The same as `property_is`, of a property's own column."""
    if _is_fractional(value):
        as_text, as_number = values.text(f'"{value}'), values.text(value)
        return f"({column} = {as_text} OR {column} = toString(toFloat64({as_number})))"
    spelled = [f'"{value}'] if not value or _is_only_text(value) else [f'"{value}', value]
    return f"{column} IN {values.texts(spelled)}"


def property_is(path: str, text: str, value: str) -> str:
    """text: the placeholder of `value`."""
    if _is_only_text(value):
        # Finding the text is many times cheaper than parsing JSON. Only a backslash lets JSON write it in another way.
        found = f"(position(properties, {text}) > 0 OR position(properties, '\\\\') > 0)"
        path = f"properties, {path}"
        return f"({found} AND JSONExtractString({path}) = {text} AND JSONType({path}) = 'String')"
    if not _is_fractional(value):
        return f"{property_text(path)} = {text}"
    # ClickHouse prints both sides, so that they agree.
    path = f"properties, {path}"
    return (
        f"if(JSONType({path}) = 'String', JSONExtractString({path}) = {text}, "
        f"JSONExtractRaw({path}) = toString(toFloat64({text})))"
    )


def _is_only_text(text: str) -> bool:
    """Whether no JSON value but a string reads like this: a number, a boolean, an array or an object may."""
    return text not in ("", "true", "false") and text[0] not in "-0123456789[{"


_FRACTIONAL = re.compile(r"-?(?:0|[1-9]\d*)(?=[.eE])(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)


def _is_fractional(text: str) -> bool:
    """Whether a text is a JSON number with a point or an exponent, that is, one that has other spellings."""
    return bool(_FRACTIONAL.fullmatch(text)) and isfinite(float(text))


def text_of(field: Field, values: Values, hot: Hot, /) -> str:
    """A field's text; null where an event has none. A person's is the id that the event has. Raises ValueError for `value`."""
    if field.kind == "column":
        return f"nullIf({_column(field)}, '')"
    if field.kind == "tag":
        if column := hot.tag(field.path[0]):
            return column
        key = values.text(field.path[0])
        return f"if({has_tag(key)}, toNullable({tag(key)}), NULL)"
    if field.kind == "property":
        column = hot.of("property", field.path)
        return text_in(column) if column else property_text(_path(field, values))
    if field.kind == "person":
        return f"nullIf({OWNER}, '')"
    raise ValueError(field.kind)


def number_of(field: Field, values: Values, hot: Hot, /) -> str:
    """A field's number; null where an event has none. Raises ValueError for a field that is text."""
    if field.kind == "value":
        return "value"
    if field.kind != "property":
        raise ValueError(field.kind)
    if column := hot.of("number", field.path):
        return column
    if len(field.path) == 1:
        key = values.text(field.path[0])
        return f"if({has('numbers', key)}, toNullable(numbers[{key}]), NULL)"
    path = f"properties, {_path(field, values)}"
    return (
        f"if(JSONType({path}) IN ('Int64', 'UInt64', 'Double'), toNullable(JSONExtractFloat({path})), "
        "CAST(NULL AS Nullable(Float64)))"
    )


def term_of(condition: Condition, values: Values, hot: Hot, /) -> str:
    """Whether an event is as the condition says: 0 or 1, never null."""
    field, op = condition.field, condition.op
    if op == "!=":
        return f"NOT {term_of(Condition(field, 'in', condition.values), values, hot)}"
    if field.kind == "person":
        return _of_person(condition, values)
    if op == "exists":
        found = f"{number_of(field, values, hot) if field.kind == 'value' else text_of(field, values, hot)} IS NOT NULL"
        return f"({found})" if condition.values[0] else f"(NOT ({found}))"
    if op in ORDERS:
        return f"ifNull({number_of(field, values, hot)} {op} {values.number(_double(condition.values[0]))}, 0)"
    if op == "contains":
        text = values.text(str(condition.values[0]))
        return f"(ifNull(position({text_of(field, values, hot)}, {text}), 0) > 0)"
    terms = [_is(field, each, values, hot) for each in condition.values if not isinstance(each, str)]
    texts = [each for each in condition.values if isinstance(each, str)]
    if field.kind == "column" and texts:
        terms.append(f"{_column(field)} IN {values.texts(texts)}")
    else:
        terms += [_is(field, each, values, hot) for each in texts]
    return f"({' OR '.join(terms)})" if terms else "0"


def _of_person(condition: Condition, values: Values) -> str:
    if condition.op == "exists":
        return f"({OWNER} {'!=' if condition.values[0] else '='} '')"
    ids = values.texts([str(each) for each in condition.values])
    return f"(user_id IN {ids} OR (user_id = '' AND anonymous_id != '' AND anonymous_id IN {ids}))"


def _is(field: Field, value: Value, values: Values, hot: Hot) -> str:
    if isinstance(value, bool):
        if column := hot.of("property", field.path):
            return f"({column} = '{'true' if value else 'false'}')"
        return f"(JSONExtractRaw(properties, {_path(field, values)}) = '{'true' if value else 'false'}')"
    if not isinstance(value, str):
        return f"ifNull({number_of(field, values, hot)} = {values.number(value)}, 0)"
    if field.kind == "tag":
        if column := hot.tag(field.path[0]):
            return f"ifNull({column} = {values.text(value)}, 0)"
        return tag_is(values.text(field.path[0]), values.text(value), empty=not value)
    if column := hot.of("property", field.path):
        return is_in(column, values, value)
    return f"ifNull({property_is(_path(field, values), values.text(value), value)}, 0)"


def _column(field: Field) -> str:
    """As text. A bare column, so that the table's key finds names."""
    name = field.path[0]
    if name not in COLUMNS:
        raise ValueError(name)
    return "toString(type)" if name == "type" else name


def _path(field: Field, values: Values) -> str:
    return ", ".join(map(values.text, field.path))


def _double(value: Value) -> float:
    if isinstance(value, float):
        return value
    raise ValueError(value)
