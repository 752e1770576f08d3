"""Reads values of an event and their sizes. Pure; parses no more of the event than needed."""

import math
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, TypeAlias, cast

import msgspec

from headrace.model.event import Event
from headrace.model.zones import zone_of
from headrace.reactions.cost import PLAIN, Path, Size
from headrace.reactions.paths import OBJECTS, variable
from headrace.reactions.syntax import Malformed

Scalar: TypeAlias = str | int | float | bool

MAX_FIELD_CHARS = 200
_MAX_FIELD_BYTES = 12 * MAX_FIELD_CHARS + 2  # as JSON, in which a character may take two escapes
_MAX_NUMBER_BYTES = 400  # the time to parse an integer grows with the square of its length
_DIGIT = b"0123456789"
_BEFORE_NUMBER = b"[,:- \t\r\n"
_MAX_INT = 2**63
_ONE = Size(1, 8)
_NONE = Size(0, 0)
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_any = msgspec.json.Decoder()


class Reading:
    """The values of one event. Every method raises Malformed if the event cannot be read."""

    def __init__(self, event: Event) -> None:
        self._event = event
        self._parsed: dict[str, dict[str, msgspec.Raw]] = {}
        self._texts: dict[Path, bytes | None] = {}
        self._scalars: dict[Path, Scalar | None] = {}

    def size(self, path: Path, /) -> Size | None:
        """The size of a value, from its JSON text without parsing it; None if the event has no such value.

        In a list or an object separators are counted, even inside texts, so the result may be too large.
        """
        root, key = path
        event = self._event
        if root == "tags":
            if key is not None:
                found = self._tag(key)
                return None if found is None else Size(1, _bytes_of(found))
            texts = event.labels | event.tags
            return Size(1 + 2 * len(texts), sum(map(_bytes_of, texts)) + sum(map(_bytes_of, texts.values())))
        if root in OBJECTS:
            if key is None:
                return size_of(getattr(event, root).encode())
            raw = self._member(path)
            return None if raw is None else size_of(raw)
        if root == "timestamp":
            return _ONE
        value = getattr(event, root)
        if root == "value":
            return None if value is None else _ONE
        return Size(1, _bytes_of(value))

    def is_plain(self, paths: Iterable[Path], /) -> bool:
        """Whether neither lists nor objects are read, and no more values and text than PLAIN has."""
        items, length = PLAIN
        for path in paths:
            if path[0] in OBJECTS:  # most events; avoids a Size for each value
                raw = self._member(path) if path[1] is not None else b"{"
                if raw is None:
                    continue
                if raw[:1] in b"[{":
                    return False
                items -= 1
                length -= len(raw)
            elif size := self.size(path):
                if size.items > 1:
                    return False
                items -= 1
                length -= size.bytes
        return items >= 0 and length >= 0

    def values(self, paths: Iterable[Path], /) -> tuple[dict[str, Any], dict[Path, str]]:
        """The values by their variables' names, without absent ones; and those that cannot be handed over, with the reason.

        JSON numbers are doubles, and no value is null.
        """
        found: dict[str, Any] = {}
        failed: dict[Path, str] = {}
        for path in paths:
            try:
                value = self._value(path)
            except Malformed as malformed:
                failed[path] = str(malformed)
                continue
            if value is not None:
                found[variable(path)] = value
        return found, failed

    def scalar(self, root: str, key: str, /) -> Scalar | None:
        """A text within the length limit, a number or a boolean from one of the event's objects, as it was sent; else None."""
        path = (root, key)
        if path not in self._scalars:
            raw = self._member(path) or b"["
            longest = _MAX_FIELD_BYTES if raw[:1] == b'"' else _MAX_NUMBER_BYTES
            is_read = raw[:1] not in b"[{" and len(raw) <= longest
            self._scalars[path] = _bearable(_decoded(raw)) if is_read else None
        return self._scalars[path]

    def field(self, name: str, /) -> Scalar | None:
        """A field of the event itself, if it is within the length limit."""
        return _bearable(getattr(self._event, name))

    def tag(self, key: str, /) -> Scalar | None:
        """The tag of that name, or else the text property, if it is within the length limit."""
        return _bearable(self._tag(key))

    def _tag(self, key: str) -> str | None:
        found = self._event.tags.get(key)
        return self._event.labels.get(key) if found is None else found

    def _member(self, path: Path) -> bytes | None:
        """A member of one of the event's objects, as JSON text; None if it is absent or null."""
        if path in self._texts:
            return self._texts[path]
        root, key = path
        members = self._parsed.get(root)
        if members is None:
            text = getattr(self._event, root)
            try:
                members = self._parsed[root] = _members.decode(text) if text else {}
            except (ValueError, RecursionError) as error:
                raise Malformed(f"the event cannot be read: {error}") from None
        raw = members.get(key or "")
        text = None if raw is None else bytes(raw)
        found = self._texts[path] = None if text == b"null" else text
        return found

    def _value(self, path: Path) -> Any:
        root, key = path
        if key is not None and root in OBJECTS:
            raw = self._member(path)
            return None if raw is None else cel_value_of(raw)
        event = self._event
        if root == "tags":
            return event.labels | event.tags if key is None else self._tag(key)
        if root in OBJECTS:
            return _for_cel(_decoded(getattr(event, root).encode() or b"{}"))
        if root != "timestamp":
            return getattr(event, root)
        # The library knows no zones, so it gets the zone's local time, declared to be UTC.
        shift_ms = zone_of(key).offset_ms(event.timestamp_ms) if key else 0
        return datetime.fromtimestamp((event.timestamp_ms + shift_ms) / 1000, UTC)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else 4 * len(text)


def size_of(raw: bytes) -> Size:
    """The size of a JSON value; no text counts as an empty object."""
    if raw[:1] not in b"[{":
        return Size(1, len(raw))
    return Size(1 + raw.count(b",") + raw.count(b":") + raw.count(b"[") + raw.count(b"{"), len(raw))


def cel_value_of(raw: bytes, /) -> Any:
    """One JSON value as conditions see it: numbers are doubles, and nothing in it is null. Raises Malformed."""
    return _number(raw) if raw[:1] in b"-0123456789" else _for_cel(_decoded(raw))


def _decoded(raw: bytes) -> Any:
    """Raises Malformed."""
    try:
        if len(raw) > _MAX_NUMBER_BYTES and raw[:1] != b'"' and _has_long_number(raw):
            raise Malformed("the event holds a number that is too long")
        return _any.decode(raw)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"the event cannot be read: {error}") from None


def _number(raw: bytes) -> float:
    """Raises Malformed."""
    found = float(raw) if len(raw) <= _MAX_NUMBER_BYTES else math.inf
    if math.isinf(found):
        raise Malformed("the event contains a number that is too large or too long")
    return found


def _has_long_number(raw: bytes) -> bool:
    """Whether there is a longer run of digits than a number may have. Looks at every 200th byte, and around digits there."""
    step = _MAX_NUMBER_BYTES // 2
    for at in range(0, len(raw) - step, step):
        if raw[at] in _DIGIT and raw[at + step] in _DIGIT:
            before = raw[max(0, at - _MAX_NUMBER_BYTES) : at]
            run = len(before) - len(before.rstrip(_DIGIT))
            after = raw[at : at + _MAX_NUMBER_BYTES + 1]
            is_number = raw[at - run - 1 : at - run] in _BEFORE_NUMBER  # not in a string, as far as one can see
            if is_number and run + len(after) - len(after.lstrip(_DIGIT)) > _MAX_NUMBER_BYTES:
                return True
    return False


def _for_cel(value: Any) -> Any:
    """Convert integers to doubles, and remove null members of objects. Raises Malformed."""
    if type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise Malformed("the event contains a number that is too large") from None
    if isinstance(value, list):
        return [_for_cel(each) for each in cast("list[Any]", value)]
    if isinstance(value, dict):
        return {key: _for_cel(each) for key, each in cast("dict[str, Any]", value).items() if each is not None}
    return value


def _bearable(value: Any) -> Scalar | None:
    if isinstance(value, str):
        return value if 0 < len(value) <= MAX_FIELD_CHARS else None
    if isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _MAX_INT):
        return value
    return None
