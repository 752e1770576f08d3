"""Parses a rules document, YAML or JSON, into plain values with the line of each. Pure; checks no rule."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, cast

import msgspec
import yaml

from headrace.model.errors import InvalidRules, Problem

MAX_BYTES = 128 * 1024
MAX_DEPTH = 24
_MAX_NUMBER_CHARS = 100
_SURROGATE = re.compile("[\ud800-\udfff]")
_SCALARS = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
# YAML 1.1 parses 2025-01-01 as a date. Here it stays text, which the rules parse as a time.
_TEXT = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value", "tag:yaml.org,2002:merge"}


def parse_source(text: bytes, /) -> tuple[object, dict[str, int]]:
    """The values, and by path (`facts[0].when`) the line on which each begins; JSON has no lines. Raises InvalidRules."""
    if len(text) > MAX_BYTES:
        raise InvalidRules([Problem("", f"it has {len(text)} bytes; the limit is {MAX_BYTES}")])
    try:
        decoded = text.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidRules([Problem("", f"it is not UTF-8: byte {error.start} cannot be decoded")]) from None
    if decoded.lstrip().startswith("{"):
        try:
            value = msgspec.json.decode(decoded)
            json.loads(decoded, object_pairs_hook=_refuse_repeats)  # msgspec takes the last of duplicate keys
            return value, {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidRules([Problem("", f"it starts like JSON but is not valid: {error}")]) from None
    lines: dict[str, int] = {}
    try:
        _refuse_bombs(decoded)
        node = cast("yaml.Node | None", yaml.compose(decoded, Loader=yaml.SafeLoader))
        if node is None:
            raise InvalidRules([Problem("", "it is empty")])
        return _value(node, "", 0, lines), lines
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InvalidRules([Problem("", f"it is not valid YAML: {error.problem}", line)]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise InvalidRules([Problem("", f"it is not valid YAML: {str(error)[:200]}")]) from None


def _refuse_repeats(pairs: list[tuple[str, object]]) -> None:
    name, times = next(iter(Counter(name for name, _ in pairs).most_common(1)), ("", 0))
    if times > 1:
        raise InvalidRules([Problem("", f"the key {name[:80]!r} occurs twice in one object")])


def _refuse_bombs(text: str) -> None:
    """Refuse aliases, which can expand a short text into a huge document, and escapes of invalid characters."""
    depth = 0
    for event in cast("Iterable[yaml.Event]", yaml.parse(text, Loader=yaml.SafeLoader)):
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent):
            raise InvalidRules([Problem("", f"it contains the alias *{event.anchor}; write it out", line)])
        if isinstance(event, yaml.ScalarEvent) and _SURROGATE.search(event.value):
            raise InvalidRules([Problem("", "it contains half of a surrogate pair, \\ud800 to \\udfff", line)])
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InvalidRules([Problem("", f"it is nested deeper than {MAX_DEPTH} levels", line)])


def _value(node: yaml.Node, path: str, depth: int, lines: dict[str, int]) -> object:
    line = node.start_mark.line + 1
    lines[path] = line
    if isinstance(node, yaml.SequenceNode):
        return [_value(each, f"{path}[{index}]", depth + 1, lines) for index, each in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        found: dict[str, object] = {}
        for key, value in node.value:
            name = key.value
            if not isinstance(key, yaml.ScalarNode) or name in found:
                raise InvalidRules([Problem(path, f"the key {str(name)[:80]!r} occurs twice or is not a string", line)])
            found[name] = _value(value, f"{path}.{name}" if path else name, depth + 1, lines)
        return found
    return _scalar(node, path, line)


def _scalar(node: Any, path: str, line: int) -> object:
    if node.tag in _TEXT:
        return node.value
    # YAML numbers may be written in base 60, and parsing a long one takes long.
    if not node.tag.endswith(":str") and len(node.value) > _MAX_NUMBER_CHARS:
        raise InvalidRules([Problem(path, f"{node.value[:80]!r}… is too long for a number", line)])
    if node.tag not in _SCALARS:
        raise InvalidRules([Problem(path, f"the tag {node.tag[:80]!r} is not supported", line)])
    try:
        return cast("object", yaml.SafeLoader("").construct_object(node))
    except (ValueError, yaml.YAMLError):
        raise InvalidRules(
            [Problem(path, f"{node.value[:80]!r} is not a valid {node.tag.rpartition(':')[2]}", line)]
        ) from None


def render_source(document: object, /) -> str:
    """A document of plain values as YAML, which `parse_source` reads back as the same values."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def place(problems: list[Problem], lines: dict[str, int], /) -> list[Problem]:
    """The problems with their lines: the line of the wrong value, or of the nearest one around it."""
    return [problem._replace(line=_line(problem.path, lines)) for problem in problems]


def _line(path: str, lines: dict[str, int]) -> int | None:
    while path and path not in lines:
        cut = max(path.rfind("."), path.rfind("["))
        path = path[: max(cut, 0)]
    return lines.get(path)
