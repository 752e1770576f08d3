"""Conditions over the whole grammar, and large events of many shapes for them, from a source of randomness."""

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

from headrace.model.event import Event
from headrace.reactions.syntax import CONVERSIONS, FUNCTIONS, MAX_CHARS

LARGEST_BYTES = 256 * 1024  # what intake takes of one event
_BINARY = ["+", "+", "+", "-", "*", "/", "%", "==", "!=", "<", "<=", ">", ">=", "in", "&&", "||"]
_READS = [
    *("event.properties.l", "event.properties.m", "event.properties.s", "event.properties.n", "event.properties"),
    *("event.context", "event.context.l", "event.traits.m", "event.tags", "event.tags.plan", "event.tags['a b']"),
    *("event.name", "event.user_id", "event.host", "event.value", "event.timestamp", "event.properties['a b']"),
]
_LITERALS = [
    *("0", "1", "-1", "2u", "1.5", "1e308", "'a'", "'zz'", "true", "false", "null", "[]", "{}", "[1, 2]", "{'a': 1}"),
    *("b'a'", "timestamp('2024-01-01T00:00:00Z')", "duration('1h')", "9223372036854775807"),
]
_MEMBERS = sorted(FUNCTIONS - CONVERSIONS - {"has"})


def condition(random: Random, /) -> str:
    """Something that is written like a condition; much of it is refused."""
    for size in (random.randrange(40), 4, 0):
        text = _boolean(random, size)
        if len(text) <= MAX_CHARS:
            return text
    return "true"


def _boolean(random: Random, size: int) -> str:
    """Mostly what has a truth value: what is refused for its kinds says nothing about cost."""
    one, other = _value(random, size // 2), _value(random, size - size // 2)
    read, times = random.choice(_READS), random.randrange(1, 26)
    forms: list[Callable[[], str]] = [
        lambda: f"size({' + '.join([read] * times)}) > 5",
        lambda: f"{' + '.join([read] * times)} == {read}",
        lambda: " || ".join([f"{read} == {other}"] * times),
        lambda: f"[{', '.join([read] * times)}] == [{', '.join([read] * times)}]",
        lambda: f"{one} == {other}",
        lambda: f"{one} < {other}",
        lambda: f"{one} in {other}",
        lambda: f"size({one}) > 5",
        lambda: f"{one}.contains({other})",
        lambda: f"{one}.startsWith({other})",
        lambda: f"string({one}) == {other}",
        lambda: f"duration({one}) > duration('1h')",
        lambda: f"timestamp({one}) < event.timestamp",
        lambda: f"int({one}) % 2 == 0",
        lambda: f"{one} ? {one} == {other} : {other} == {one}",
        lambda: f"!({one} == {other}) && {one} != {other}",
        lambda: f"has(event.properties.l) || {one} != {other}",
        lambda: one,
        lambda: f"({one}){random.choice(_BINARY)}({other})",
    ]
    return random.choice(forms)()


def _value(random: Random, size: int) -> str:
    if size <= 0:
        return random.choice(_READS if random.random() < 0.8 else _LITERALS)
    one, other = _value(random, size // 2), _value(random, size - size // 2 - 1)
    forms: list[Callable[[], str]] = [
        *[lambda: f"{one} + {other}"] * 6,
        lambda: f"({one}) {random.choice(_BINARY)} ({other})",
        lambda: f"[{one}, {other}]",
        lambda: f"{{'a': {one}, 'b': {other}}}",
        lambda: f"({one})[{other}]",
        lambda: f"{one}.a",
        lambda: f"(true ? {one} : {other})",
        lambda: f"{random.choice(sorted(CONVERSIONS))}({one})",
        lambda: f"{one}.{random.choice(_MEMBERS)}()",
    ]
    return random.choice(forms)()


def _list_of(item: str) -> Callable[[int], str]:
    return lambda room: "[" + ",".join([item] * (room // (len(item) + 1))) + "]"


def _nested(room: int) -> str:
    deep = "[" * 60 + "1" + "]" * 60
    return _list_of(deep)(room)


def _map_of(value: str) -> Callable[[int], str]:
    return lambda room: "{" + ",".join(f'"k{number}":{value}' for number in range(room // (len(value) + 10))) + "}"


SHAPES: dict[str, Callable[[int], str]] = {
    "whole numbers": _list_of("1"),
    "numbers": _list_of("0.5"),
    "long numbers": _list_of("1" * 300),
    "booleans": _list_of("true"),
    "nulls": _list_of("null"),
    "texts": _list_of('"ab"'),
    "empty texts": _list_of('""'),
    "long texts": _list_of('"' + "x" * 200 + '"'),
    "lists": _list_of("[]"),
    "lists of lists": _list_of("[[1],[2]]"),
    "deep lists": _nested,
    "empty maps": _list_of("{}"),
    "maps": _list_of('{"a":1}'),
    "map of numbers": _map_of("1"),
    "map of texts": _map_of('"x"'),
    "map of maps": _map_of('{"a":{"b":1}}'),
    "map of lists": _map_of("[1,2]"),
    "text": lambda room: '"' + "x" * (room - 2) + '"',
    "text of digits": lambda room: '"' + "9" * (room - 2) + '"',
    "text of commas": lambda room: '"' + "," * (room - 2) + '"',
    "text of emojis": lambda room: '"' + "\N{GRINNING FACE}" * (room // 4 - 1) + '"',
    "escaped text": lambda room: '"' + "\\u00e9" * (room // 6 - 1) + '"',
    "small": lambda _room: '"a"',
}


def event(random: Random, size: int | None = None, /) -> Event:
    """An event that intake takes, of `size` bytes or of any up to the largest."""
    room = size or random.choice([100, 1000, 4000, 10_000, 50_000, LARGEST_BYTES])
    names = random.choice([("l",), ("l", "m"), ("l", "m", "s", "n", "a b")])
    of = random.choice([*SHAPES.values(), None])
    members = [
        f'"{name}":{(of or random.choice(list(SHAPES.values())))(max(10, (room - 100) // len(names) - 20))}'
        for name in names
    ]
    whole = "{" + ",".join(members) + "}"
    if random.random() < 0.2:
        whole = _map_of(random.choice(["1", '"x"', "[]", "{}", "[1,2,3]"]))(room - 100)
    return of_json(random.choice(["properties"] * 4 + ["context", "traits"]), whole)


def of_json(root: str, text: str, /) -> Event:
    objects: dict[str, Any] = {root: text}
    values = msgspec.json.decode(text)
    labels = {key: value for key, value in values.items() if isinstance(value, str)} if root == "properties" else {}
    return Event(
        *("p", "live", "flux", "order.a", 1_736_121_600_000),
        user_id="u",
        value=2.5,
        tags={f"t{number}": "x" * 200 for number in range(63)} | {"plan": "pro"},
        labels=labels,
        **objects,
    )
