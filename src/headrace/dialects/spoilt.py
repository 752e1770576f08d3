"""Bodies that are not JSON as they stand: what is wrong inside one event of a batch is kept to that event. Pure.

Only a body that was refused comes here, so a well-formed one pays nothing for it.
"""

import operator
import re
from collections.abc import Iterator

import msgspec

_BOM = b"\xef\xbb\xbf"
_HEX = rb"[0-9a-fA-F]"
_PAIR = rb"\\u[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}" % (_HEX, _HEX)
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# Those that no backslash stands before, which are all but the odd one: a plain replacement, at a tenth of the time.
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
_MARK = "\0"  # begins the string that stands for a spoilt event; a string is no event in any dialect
_MARKED = b'"\\u0000'

_any_decoder = msgspec.json.Decoder(msgspec.Raw)
_text_decoder = msgspec.json.Decoder(str)
_encoder = msgspec.json.Encoder()

Span = tuple[int, int]


class _Unreadable(Exception):
    """Where the events begin and end cannot be told."""


def mended(body: bytes, *arrays: str, bare: bool = False, lines: bool = False) -> bytes | None:
    """A refused body as it can be parsed after all, or None where nothing helps.

    A lone surrogate's escape becomes U+FFFD. Of a batch, an event that is no JSON becomes a string that says why: see
    `problem_in`. Where none of its events is JSON nothing is: that is a body that is none, and no event with a neighbour.
    arrays: the members of the body that hold a batch, in which case the body may also be one; so it may with `bare`.
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
    """Why a text is no JSON document, as the end of a sentence; "" when it is one."""
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
    """What was wrong with the event that `mended` put this in place of; "" for whatever else it is."""
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
    """Raises _Unreadable when all of them have one."""
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
    """The documents that stand one after another; where one of them does not end, each line is taken for one."""
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
    """The elements of the members named, of the object that a text is. Raises _Unreadable."""
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
            # Whatever stands between two commas is one element, also two objects without a comma or a brace too many.
            end = at + 1 if following == b"}" else _value_end(text, at, tokens)
            at = _after_blanks(text, end)
        if end == first or len(spans) == _MAX_EVENTS:
            raise _Unreadable
        spans.append((first, end))
        if following == b"]":
            return spans, at + 1
        at = _after_blanks(text, at + 1)


def _value_end(text: bytes, start: int, tokens: Iterator[int]) -> int:
    """Where the value that begins there ends, whatever is wrong inside it. Raises _Unreadable."""
    first = text[start : start + 1]
    if first not in (b"{", b"["):
        match = (_STRING if first == b'"' else _SCALAR).match(text, start)
        if not match or next(tokens, None) is None:
            raise _Unreadable
        return match.end() if first == b'"' else start + len(match[0].rstrip(b" \t\n\r"))
    opened: list[bytes] = []
    for match in _TOKEN.finditer(text, start):
        token = match[0]
        if next(tokens, None) is None or token == b'"':  # a string that does not end
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
    """Where what follows the token begins. Raises _Unreadable."""
    if text[at : at + 1] != token:
        raise _Unreadable
    return _after_blanks(text, at + 1)
