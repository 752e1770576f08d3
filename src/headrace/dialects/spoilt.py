"""Repairs bodies that are not valid JSON, so that an error inside one event of a batch affects only that event. Pure.

Only refused bodies get here, so valid ones pay nothing.
"""

import operator
import re
from collections.abc import Iterator

import msgspec

_BOM = b"\xef\xbb\xbf"
_HEX = rb"[0-9a-fA-F]"
_PAIR = rb"\\u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}" % (_HEX, _HEX)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Those without a backslash before them, which is nearly all: a plain replacement, at a tenth of the time.
_LONE_HIGH = re.compile(rb"(?<!\\)\\u[dD][89abAB]%b{2}(?!\\u[dD][c-fC-F]%b{2})" % (_HEX, _HEX))
_LONE_LOW = re.compile(rb"(?<!\\)(?<!\\u[dD][89abAB]%b%b)\\u[dD][c-fC-F]%b{2}" % (_HEX, _HEX, _HEX))
# Escaped backslashes and what is behind them: a pair; a lone one; or text that only looks like the first half of one, and the
# lone second half. No possessive quantifiers here: Python 3.11.2 gets such a pattern wrong.
_BEHIND_BACKSLASHES = re.compile(
    rb"(?<!\\)((?:\\\\)+)(?:%b|()\\u[dD][89a-fA-F]%b{2}|(u[dD][89abAB]%b{2})\\u[dD][c-fC-F]%b{2})"
    % (_PAIR, _HEX, _HEX, _HEX)
)
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}"]', re.DOTALL)
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_BLANK = re.compile(rb"[ \t\n\r]*+")
_SCALAR = re.compile(rb'[^,\[\]{}"]++')
_OPENER = {b"]": b"[", b"}": b"{"}
# Looking at a bracket or a string costs half a microsecond and at an event five, and nobody is known yet. Events that are
# sent have a token for some ten bytes, and no batch has more than 2500 events.
_MAX_EVENTS = 5000
_FREE_TOKENS, _BYTES_A_TOKEN = 20_000, 6
_MARK = "\0"  # begins the string that replaces a spoilt event; in no dialect is a string an event
_MARKED = b'"\\u0000'

_any_decoder = msgspec.json.Decoder(msgspec.Raw)
_text_decoder = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()

Span = tuple[int, int]


class _Unreadable(Exception):
    """It cannot be determined where the events begin and end."""


def mended(body: bytes, *arrays: str, bare: bool = False, lines: bool = False) -> bytes | None:
    """A refused body in a form that can be parsed, or None if nothing helps.

    Escapes of lone surrogates become U+FFFD. In a batch, an event that is not JSON becomes a string that says why: see
    `problem_in`. If none of its events is JSON the result is None, because then the body as a whole is not JSON.
    arrays: the members of the body that hold a batch; the body may then also be a single event, as with `bare`.
    lines: the body may be an array, or JSON documents one after another, which become one.
    """
    text = whole_characters(body.removeprefix(_BOM))
    if not problem_of(text):
        return text if text != body else None
    if not (arrays or bare or lines):
        return None
    try:
        text = _confined(text, arrays, lines)
    except _Unreadable:
        return None
    return None if problem_of(text) else text


def whole_characters(text: bytes, /) -> bytes:
    """JSON text whose lone surrogates, which a cut inside an emoji leaves, are U+FFFD. Pairs stay as they are.

    Source: https://www.rfc-editor.org/rfc/rfc8259#section-8.2
    """
    if not _SURROGATE.search(text):
        return text
    text = _LONE_LOW.sub(rb"\\ufffd", _LONE_HIGH.sub(rb"\\ufffd", text))
    return _BEHIND_BACKSLASHES.sub(_without_lone, text)


def _without_lone(match: re.Match[bytes]) -> bytes:
    looks_like = match[2] if match[2] is not None else match[3]
    return match[0] if looks_like is None else match[1] + looks_like + rb"\ufffd"


def problem_of(text: bytes, /) -> str:
    """Why a text is not a JSON document, as the end of a sentence; "" if it is one."""
    try:
        if not text.isascii():
            text.decode()
        _any_decoder.decode(text)
    except UnicodeDecodeError as error:
        return f"is not UTF-8: byte {error.start} cannot be decoded"
    except msgspec.DecodeError as error:
        return f"is not valid JSON: {str(error).removeprefix('JSON is malformed: ')}"
    except RecursionError:
        return "is nested too deeply"
    return ""


def problem_in(raw: bytes | msgspec.Raw, /) -> str:
    """What was wrong with the event that `mended` replaced by this string; "" for anything else."""
    text = bytes(raw)
    return _text_decoder.decode(text)[1:] if text.startswith(_MARKED) else ""


def _confined(text: bytes, arrays: tuple[str, ...], lines: bool) -> bytes:
    """Raises _Unreadable."""
    tokens = iter(range(_FREE_TOKENS + len(text) // _BYTES_A_TOKEN))
    start = _after_blanks(text, 0)
    if text[start : start + 1] == b"[":
        spans, end = _elements(text, start, tokens)
        if _after_blanks(text, end) != len(text):
            raise _Unreadable
        return _with_problems(text, spans)
    if lines:
        documents = _documents(text, tokens)
        if len(documents) > _MAX_EVENTS:
            raise _Unreadable
        elements = [_element(each) for each in documents]
        if not any(map(operator.is_, elements, documents)):
            raise _Unreadable
        return b"[%b]" % b",".join(elements)
    return _with_problems(text, _elements_of_members(text, start, arrays, tokens))


def _with_problems(text: bytes, spans: list[Span]) -> bytes:
    """The elements, with a problem in place of each that is not JSON. Raises _Unreadable if none is JSON."""
    pieces: list[bytes] = []
    at = sound = 0
    for start, end in spans:
        sent = text[start:end]
        element = _element(sent)
        sound += element is sent
        pieces += (text[at:start], element)
        at = end
    if not sound:
        raise _Unreadable
    return b"".join((*pieces, text[at:]))


def _element(text: bytes) -> bytes:
    problem = problem_of(text)
    return _encoder.encode(f"{_MARK}The event {problem}.") if problem else text


def _documents(text: bytes, tokens: Iterator[int]) -> list[bytes]:
    """The JSON documents in a sequence. If one of them does not end, each line is taken for a document."""
    found: list[bytes] = []
    at = _after_blanks(text, 0)
    try:
        while at < len(text):
            end = _value_end(text, at, tokens)
            found.append(text[at:end])
            if len(found) > _MAX_EVENTS:
                return found
            at = _after_blanks(text, end)
    except _Unreadable:
        return [line for line in text.splitlines() if line.strip()]
    return found


def _elements_of_members(text: bytes, start: int, arrays: tuple[str, ...], tokens: Iterator[int]) -> list[Span]:
    """The elements of the named members of an object's text. Raises _Unreadable."""
    spans: list[Span] = []
    at = _expect(text, start, b"{")
    while True:
        key = _STRING.match(text, at)
        if not key:
            raise _Unreadable
        at = _expect(text, _after_blanks(text, key.end()), b":")
        if text[at : at + 1] == b"[" and _name(key[0]) in arrays:
            elements, at = _elements(text, at, tokens)
            spans += elements
        else:
            at = _value_end(text, at, tokens)
        at = _after_blanks(text, at)
        if text[at : at + 1] == b"}":
            return spans
        at = _expect(text, at, b",")


def _name(key: bytes) -> str:
    try:
        return _text_decoder.decode(key)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _Unreadable from None


def _elements(text: bytes, start: int, tokens: Iterator[int]) -> tuple[list[Span], int]:
    """The elements of the array that begins there, and where it ends. Raises _Unreadable."""
    spans: list[Span] = []
    at = _after_blanks(text, start + 1)
    if text[at : at + 1] == b"]":
        return spans, at + 1
    while True:
        first = at
        end = at
        while (following := text[at : at + 1]) not in (b",", b"]"):
            # Everything between two commas is one element, even two objects without a comma, or a brace too many.
            end = at + 1 if following == b"}" else _value_end(text, at, tokens)
            at = _after_blanks(text, end)
        if end == first or len(spans) == _MAX_EVENTS:
            raise _Unreadable
        spans.append((first, end))
        if following == b"]":
            return spans, at + 1
        at = _after_blanks(text, at + 1)


def _value_end(text: bytes, start: int, tokens: Iterator[int]) -> int:
    """The end of the value that begins here, whatever is wrong inside it. Raises _Unreadable."""
    first = text[start : start + 1]
    if first not in (b"{", b"["):
        match = (_STRING if first == b'"' else _SCALAR).match(text, start)
        if not match or next(tokens, None) is None:
            raise _Unreadable
        return match.end() if first == b'"' else start + len(match[0].rstrip(b" \t\n\r"))
    opened: list[bytes] = []
    for match in _TOKEN.finditer(text, start):
        token = match[0]
        if next(tokens, None) is None or token == b'"':  # an unterminated string
            raise _Unreadable
        if token in (b"{", b"["):
            opened.append(token)
        elif token in (b"}", b"]"):
            while opened and opened.pop() != _OPENER[token]:  # one of those in between was never closed
                pass
            if not opened:
                if _OPENER[token] != first:
                    raise _Unreadable
                return match.end()
    raise _Unreadable


def _after_blanks(text: bytes, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _expect(text: bytes, at: int, token: bytes) -> int:
    """The position after the expected token. Raises _Unreadable."""
    if text[at : at + 1] != token:
        raise _Unreadable
    return _after_blanks(text, at + 1)
