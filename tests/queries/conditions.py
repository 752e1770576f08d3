"""Draws conditions, mostly of what some events have."""

from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

from headrace.model.conditions import COLUMNS, ORDERS, Condition, Field
from headrace.model.event import Event
from tests.printed import number_of, properties_of, text_at

KINDS = ("column", "tag", "property", "property", "nested", "value", "person")
_others = st.sampled_from(("x", "5", "5.0", "true", "null", "[]", "é", "'", "\\", "a", "live", "identify", "1e2"))
_numbers = st.sampled_from((0.0, -0.0, 1.0, 5.0, -1.0, 0.1, 1e300, 9007199254740992.0, 5e-324))


def _paths(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, (*path, key))


def field(draw: Any, events: Sequence[Event], kind: str | None = None) -> Field:
    kind = kind or draw(st.sampled_from(KINDS))
    if kind == "column":
        return Field("column", (draw(st.sampled_from(COLUMNS)),))
    if kind in ("value", "person"):
        return Field("value" if kind == "value" else "person")
    if kind == "tag":
        names = sorted({key for event in events for key in (*event.tags, *event.labels)}) or ["k"]
        return Field("tag", (draw(st.sampled_from([*names, "k"])),))
    paths = sorted({path for event in events for path in _paths(properties_of(event))})
    nested = [path for path in paths if len(path) > 1]
    if kind == "nested" and nested:
        return Field("property", draw(st.sampled_from(nested)))
    return Field("property", draw(st.sampled_from([*paths, ("k",), ("nothing", "there")])))


def condition(draw: Any, events: Sequence[Event], kind: str | None = None) -> Condition:
    """Of every operator that the field takes."""
    about = field(draw, events, kind)
    texts = sorted({text for event in events if about.kind != "value" and (text := text_at(event, about)) is not None})
    text = st.sampled_from(texts) | _others if texts else _others
    found = sorted({number for event in events for number in _numbers_of(event, about)})
    number = st.sampled_from(found) | _numbers if found else _numbers
    values: list[st.SearchStrategy[Any]] = []
    if about.kind != "value":
        values.append(text.filter(bool) if about.kind in ("column", "person") else text)
    if about.is_numeric:
        values.append(number)
    if about.kind == "property":
        values.append(st.booleans())
    value = st.one_of(values)
    op = draw(
        st.sampled_from(
            (
                *("=", "=", "!=", "in", "exists"),
                *(ORDERS if about.is_numeric else ()),
                *(("contains",) if about.kind in ("column", "tag", "property") else ()),
            )
        )
    )
    if op == "exists":
        return Condition(about, op, [draw(st.booleans())])
    if op in ORDERS:
        return Condition(about, op, [draw(number)])
    if op == "contains":
        whole = draw(text.filter(bool))
        start = draw(st.integers(0, len(whole) - 1))
        return Condition(about, op, [whole[start : draw(st.integers(start + 1, len(whole)))]])
    return Condition(about, op, draw(st.lists(value, min_size=1, max_size=3 if op == "in" else 1)))


def _numbers_of(event: Event, about: Field) -> list[float]:
    found = number_of(event, about) if about.is_numeric else None
    return [] if found is None else [found]
