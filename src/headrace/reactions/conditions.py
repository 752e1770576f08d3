"""Conditions in CEL: checked before they are kept, and evaluated over one event. Never loops, whatever they say.

The library (cel, over a Rust interpreter) has no limit on cost. So what a condition may be is limited instead: its length,
its nesting, and the functions in it, each of which takes time in proportion to the event at most. Comprehensions (`all`,
`exists`, `map`, `filter`), which multiply, and regular expressions, which are compiled at each use, are not among them.
Source of the language: https://github.com/google/cel-spec/blob/master/doc/langdef.md
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from headrace.model.event import Event

if TYPE_CHECKING:
    import cel

MAX_CHARS = 500
MAX_NESTING = 16
FUNCTIONS = frozenset(
    ["has", "size", "contains", "startsWith", "endsWith", "int", "uint", "double", "string", "timestamp", "duration"]
    + [
        f"get{part}"
        for part in ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes")
    ]
)
TEXTS = (
    *("name", "type", "source", "user_id", "anonymous_id", "session_id", "group_id"),
    *("environment", "service", "host", "request_id", "message_id"),
)
OBJECTS = ("properties", "context", "traits")
FIELDS = frozenset((*TEXTS, *OBJECTS, "tags", "value", "timestamp"))

# A string, an identifier, or any other character. The ways to write a string that this does not read as CEL does are refused.
_TOKEN = re.compile(r"""(?P<string>"[^"]*+"|'[^']*+')|(?P<word>[A-Za-z_]\w*+)|\S""", re.ASCII)
_REFUSED = ("\\", '"""', "'''", "//")
# What a compiled condition raises. A panic of the library's Rust would be a BaseException, but it makes ValueErrors of its own.
# Source: https://github.com/hardbyte/python-common-expression-language/blob/main/src/lib.rs (catch_unwind)
_ERRORS = (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


_SOME_EVENT = Event(project="", mode="live", source="", name="", timestamp_ms=0)


class Malformed(Exception):
    """What is wrong with a condition, for the person who wrote it."""


def _cel():
    """The library, loaded with the first condition: it brings a shell along, which would be a fifth of every start."""
    import cel  # noqa: PLC0415

    return cel


class Condition:
    """A condition that was checked.

    `fields` are those of the event that it reads; `keys` the properties among them, or None when it may read any.
    """

    def __init__(self, text: str) -> None:
        """Raises Malformed."""
        self.text = text
        self.fields, self.keys = _check(text)
        try:
            self._program = _cel().compile(text)
            names = self._program.variables()
        except ValueError as error:
            raise Malformed(_first_problem(str(error))) from None
        if unknown := [name for name in names if name != "event"]:
            raise Malformed(f"{unknown[0]!r} is not known: a condition is about 'event'")
        self._check_kind()

    def _check_kind(self) -> None:
        """Where every event has all that it reads, one event shows whether it is true or false. Raises Malformed."""
        if not self.fields <= {*TEXTS, "timestamp"}:
            return
        try:
            found = self._program.execute(context_of(_SOME_EVENT, {}, [self]))
        except _ERRORS:  # what it makes of a text may fail for one event and not for another
            return
        _checked(found)

    def holds(self, context: "cel.Context", /) -> bool:
        """Whether it is true of the event. Raises Malformed with the reason when it has no truth value."""
        try:
            found = self._program.execute(context)
        except KeyError as error:
            raise Malformed(f"the event has no {error}") from None
        except _ERRORS as error:
            raise Malformed(str(error).partition(". ")[0][:200]) from None
        return _checked(found)


def _checked(found: object) -> bool:
    if not isinstance(found, bool):
        raise Malformed(f"it gives a {type(found).__name__}, not true or false")
    return found


def context_of(event: Event, objects: dict[str, dict[str, Any]], conditions: Sequence[Condition], /) -> "cel.Context":
    """What the conditions can see of an event; `objects` are its parsed properties, context and traits. Raises Malformed."""
    # Handing a value to Rust costs more than evaluating a condition over it, so only what is read goes there.
    seen: dict[str, Any] = {}
    for name in {name for condition in conditions for name in condition.fields}:
        if name == "timestamp":
            seen[name] = datetime.fromtimestamp(event.timestamp_ms / 1000, UTC)
        else:
            seen[name] = objects[name] if name in OBJECTS else getattr(event, name)
    if "properties" in seen and all(condition.keys is not None for condition in conditions):
        keys = {key for condition in conditions for key in condition.keys or ()}
        seen["properties"] = {key: seen["properties"][key] for key in keys if key in seen["properties"]}
    try:
        return _cel().Context(variables={"event": seen})
    except ValueError:
        raise Malformed("the event holds a number that is too large") from None


def parse_objects(event: Event, /) -> dict[str, dict[str, Any]]:
    """The event's JSON objects by name. Raises Malformed."""
    try:
        return {name: msgspec.json.decode(text) if (text := getattr(event, name)) else {} for name in OBJECTS}
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the event cannot be read: {error}") from None


def _check(text: str) -> tuple[frozenset[str], frozenset[str] | None]:
    """The fields and the properties that it reads. Raises Malformed."""
    if len(text) > MAX_CHARS:
        raise Malformed(f"it has {len(text)} characters; at most {MAX_CHARS} are taken")
    if not text.isprintable():
        raise Malformed("it holds a character that cannot be printed, or a line break")
    if refused := [each for each in _REFUSED if each in text]:
        raise Malformed(f"it holds {refused[0]}, which is not taken here")
    nesting = 0
    tokens: list[str] = []
    for match in _TOKEN.finditer(text):
        tokens.append('""' if match["string"] else match[0])
        nesting += (tokens[-1] in "([{") - (tokens[-1] in ")]}")
        if nesting > MAX_NESTING:
            raise Malformed(f"it is nested deeper than {MAX_NESTING} levels")
    if tokens.count('"') or tokens.count("'"):
        raise Malformed("it holds a string without an end")
    if not tokens:
        raise Malformed("it is empty")
    return _check_words(tokens)


def _check_words(tokens: list[str]) -> tuple[frozenset[str], frozenset[str] | None]:
    fields: set[str] = set()
    keys: set[str] = set()
    reads_any = False
    words = ["", *tokens, "", "", "", ""]
    for before, word, *after in zip(*(words[start:] for start in range(6)), strict=False):
        if word[:1].isidentifier() and after[0] == "(" and word not in FUNCTIONS and word != "in":
            raise Malformed(f"the function {word!r} is not available; these are: {', '.join(sorted(FUNCTIONS))}")
        if word != "event" or before == ".":
            continue
        if after[0] != "." or after[1] not in FIELDS:
            what = f"has no field {after[1]!r}" if after[0] == "." else "must be followed by a field"
            raise Malformed(f"'event' {what}; its fields are: {', '.join(sorted(FIELDS))}")
        fields.add(after[1])
        if after[1] == "properties" and after[2] == "." and after[3][:1].isidentifier():
            keys.add(after[3])
        elif after[1] == "properties":
            reads_any = True
    return frozenset(fields), None if reads_any else frozenset(keys)


def _first_problem(text: str) -> str:
    """`ERROR: <input>:1:4: Syntax error: …` as one short sentence with the column."""
    found = re.search(r"ERROR: <input>:\d+:(\d+): ([^\n]*)", text)
    return f"{found[2][:150]} (at character {found[1]})" if found else text.partition("\n")[0][:200]
