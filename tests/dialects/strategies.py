"""What hypothesis draws here: JSON in any spelling, events, and bodies with something wrong in them."""

import json
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from headrace.model.event import Event


def examples(count: int) -> settings:
    """So many examples, and no clock: a busy machine fails no law."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# Any text that UTF-8 can carry; hypothesis leaves lone surrogates out of its own accord.
texts = st.text(max_size=20)
keys = st.one_of(st.sampled_from(["a", "plan", "name", "category", "é", "日", ""]), st.text(max_size=5))


# A JSON value as nested lists of its parts, still to be spelled: a str is text, a Members an object, a Token itself.
class Members(list[tuple[str, Any]]):
    """An object's members; a key may come twice."""


class Token(str):
    """The text of a number, true, false or null."""

    __slots__ = ()


_tokens = st.one_of(
    st.integers(-(2**70), 2**70).map(str),
    st.integers(-(10**400), 10**400).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,20})\.[0-9]{1,25}([eE][+-]?[0-9]{1,2})?", fullmatch=True),
    st.sampled_from(["-0", "0.0", "-0.0", "1e-400", "5e-324", "1.7976931348623157e308", "0.1", "1E5", "2e+3"]),
    st.sampled_from(["true", "false", "null"]),
).map(Token)
_scalars: st.SearchStrategy[Any] = texts | _tokens


def _members(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Members]:
    return st.lists(st.tuples(keys, values), max_size=5).map(Members)


def _spell(value: Any, chance: Random) -> str:
    """One of the many texts of a value: with blanks wherever they may be, and escapes wherever they need not."""

    def space() -> str:
        return chance.choice(("", "", "", " ", "\n", "\t ", "\r\n  "))

    if isinstance(value, Members):
        members = (f"{space()}{_spell(key, chance)}{space()}:{space()}{_spell(each, chance)}" for key, each in value)
        return f"{{{space()}{','.join(members)}{space()}}}"
    if isinstance(value, list):
        return f"[{space()}{','.join(_spell(each, chance) + space() for each in value)}{space()}]"
    return value if isinstance(value, Token) else json.dumps(value, ensure_ascii=chance.random() < 0.5)


def _spelled(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return st.builds(lambda value, seed: _spell(value, Random(seed)), values, st.integers(0, 2**16))


flat_objects = _spelled(_members(_scalars))
nested_objects = _spelled(
    _members(st.recursive(_scalars, lambda inner: _members(inner) | st.lists(inner, max_size=4), max_leaves=8))
)

# Whatever JSON can hold, as Python values; NaN, infinities and lone surrogates among them, which JSON cannot.
any_text = st.one_of(texts, st.text(st.characters(codec=None), max_size=5))
any_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        any_text,
        st.sampled_from(["", " ", "a" * 200, "a" * 201, "a" * 256, "2024-01-15T10:30:00Z", "2024-13-15", 10**400]),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(any_text, inner, max_size=4)),
    max_leaves=6,
)


def objects_with(fields: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with some of the fields, each of any type."""
    return st.dictionaries(st.sampled_from(fields), any_values, max_size=len(fields))


_FRAGMENTS = (
    *(b"\\ud800", b"\\udfff", b"\\u12", b"\\", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\x00", b"\x1f", b"\x0b"),
    *(b"NaN", b"-Infinity", b"1e999", b"-", b"01", b"1.", b"9" * 5000, b"null", b"true", b"tru", b"0.1"),
    *(
        b'"',
        b"'",
        b",",
        b":",
        b"[",
        b"]",
        b"{",
        b"}",
        b"[" * 70,
        b"{" * 2000,
        b'{"a":' * 70,
        b"[[]]" * 80,
        b"/**/",
        b"\n",
    ),
)


@st.composite
def mutated(draw: st.DrawFn, bodies: st.SearchStrategy[bytes]) -> bytes:
    """A body after one to three edits: cut short, a byte changed, something put in, a part removed or doubled."""
    body = draw(bodies)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        to = draw(st.integers(at, min(len(body), at + 30)))
        match draw(st.sampled_from(["truncate", "flip", "insert", "remove", "double", "replace"])):
            case "truncate":
                body = body[:at]
            case "flip":
                body = body[:at] + bytes([draw(st.integers(0, 255))]) + body[at + 1 :]
            case "insert":
                body = body[:at] + draw(st.sampled_from(_FRAGMENTS)) + body[at:]
            case "remove":
                body = body[:at] + body[to:]
            case "double":
                body = body[:to] + body[at:to] + body[to:]
            case _:
                body = body[:at] + draw(st.sampled_from(_FRAGMENTS)) + body[to:]
    return body


_finite = st.floats(allow_nan=False, allow_infinity=False)
_times = st.integers(0, 9_214_646_399_999)
events = st.builds(
    Event,
    project=texts,
    mode=st.sampled_from(["live", "test"]),
    source=texts,
    name=texts,
    timestamp_ms=_times,
    type=st.sampled_from(["track", "identify", "page", "group", "alias"]),
    user_id=texts,
    anonymous_id=texts,
    session_id=texts,
    group_id=texts,
    previous_id=texts,
    value=st.none() | _finite,
    properties=texts,
    context=texts,
    traits=texts,
    tags=st.dictionaries(keys, texts, max_size=4),
    labels=st.dictionaries(keys, texts, max_size=4),
    numbers=st.dictionaries(keys, _finite, max_size=4),
    environment=texts,
    service=texts,
    host=texts,
    request_id=texts,
    message_id=texts,
    sent_at_ms=st.none() | _times,
)
