"""Parses conditions into trees. Pure; evaluates nothing, and knows neither kinds of values nor costs.

The library that evaluates conditions (cel) compiles them without exposing a tree, but their costs and the values they read follow
from the tree. Anything that this parser does not parse exactly like CEL is refused.
Source of the grammar: https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

MAX_CHARS = 500
MAX_NESTING = 16
MAX_DEPTH = 100  # of the tree: a chain of operators is as deep as it is long

METHODS = frozenset(
    ["size", "contains", "startsWith", "endsWith"]
    + [
        f"get{part}"
        for part in ("FullYear", "Month", "Date", "DayOfMonth", "DayOfWeek", "DayOfYear", "Hours", "Minutes")
    ]
)
CONVERSIONS = frozenset(["int", "uint", "double", "string", "timestamp", "duration"])
FUNCTIONS = METHODS | CONVERSIONS | {"has"}

# A string, a number, a word, an operator, or any other character, with which no token begins.
_TOKEN = re.compile(
    r"""(?P<string>(?:[rR][bB]?|[bB][rR]?)?(?:"[^"]*+"|'[^']*+'))"""
    r"""|(?P<number>0[xX][0-9a-fA-F]++[uU]?|(?:\d++(?:\.\d++)?|\.\d++)(?:[eE][+-]?\d++)?[uU]?)"""
    r"""|(?P<word>[A-Za-z_]\w*+)|(?P<sign>&&|\|\||[<>=!]=|[-+*/%<>!?:.,()\[\]{}])|(?P<other>\S)""",
    re.ASCII,
)
_REFUSED = ("\\", '"""', "'''", "//")
_BINARY = (("||",), ("&&",), ("<", "<=", ">", ">=", "==", "!=", "in"), ("+", "-"), ("*", "/", "%"))


class Malformed(Exception):
    """A condition is wrong. The message is for the person who wrote it."""


class Node(msgspec.Struct, frozen=True, gc=False):
    """A part of a condition, from character `start` to `end`. `parts` are in the order of the text.

    `op`: a binary operator; `!` or `-` (before one part); `?:`; `()`; `.` (select), `[]` (index), `call`,
    `method` (its target comes first), `has`, `list`, `map`, `name`, `string`, `bytes`, `int`, `uint`, `double`, `bool`, `null`.
    `text` is a name, a literal as written, or a run of `!` or `-`.
    """

    op: str
    start: int
    end: int
    parts: tuple["Node", ...] = ()
    text: str = ""
    depth: int = 1


class _Token(msgspec.Struct, frozen=True, gc=False):
    kind: str
    text: str
    start: int
    end: int


def parse(text: str, /) -> Node:
    """Raises Malformed."""
    parser = _Parser(tokens_of(text), len(text))
    tree = parser.ternary()
    parser.expect("end")
    return tree


def tokens_of(text: str, /) -> list[_Token]:
    """The tokens of a text that is short and shallow enough. Raises Malformed."""
    if len(text) > MAX_CHARS:
        raise Malformed(f"it has {len(text)} characters; the limit is {MAX_CHARS}")
    if not text.isprintable():
        raise Malformed("it contains an unprintable character or a line break")
    if refused := [each for each in _REFUSED if each in text]:
        raise Malformed(f"it contains {refused[0]}, which is not supported")
    nesting = 0
    tokens: list[_Token] = []
    for match in _TOKEN.finditer(text):
        tokens.append(_Token(match.lastgroup or "", match[0], *match.span()))
        if match[0] in ("'", '"'):
            raise Malformed("it contains an unterminated string")
        if match.lastgroup == "sign":
            nesting += (match[0] in "([{") - (match[0] in ")]}")
        if nesting > MAX_NESTING:
            raise Malformed(f"it is nested deeper than {MAX_NESTING} levels")
    if not tokens:
        raise Malformed("it is empty")
    _check_functions(tokens)
    return tokens


def _check_functions(tokens: list[_Token]) -> None:
    for token, following in pairwise(tokens):
        if token.kind == "word" and following.text == "(" and token.text not in FUNCTIONS and token.text != "in":
            raise Malformed(f"the function {token.text!r} is not available; these are: {', '.join(sorted(FUNCTIONS))}")


class _Parser:
    """A method for each level of the grammar. Each stops before the next token."""

    def __init__(self, tokens: list[_Token], end: int) -> None:
        self._tokens = [*tokens, _Token("end", "", end, end)]
        self._place = 0

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _is(self, *signs: str) -> bool:
        return self._next.text in signs and self._next.kind in ("sign", "word")

    def _take(self) -> _Token:
        token = self._next
        self._place += token.kind != "end"
        return token

    def expect(self, what: str, /) -> _Token:
        if what not in (self._next.kind, self._next.text):
            raise _misplaced(self._next)
        return self._take()

    def ternary(self) -> Node:
        condition = self._binary(0)
        if not self._is("?"):
            return condition
        self._take()
        then = self._binary(0)
        self.expect(":")
        return _node("?:", condition.start, (condition, then, self.ternary()))

    def _binary(self, level: int) -> Node:
        if level == len(_BINARY):
            return self._unary()
        left = self._binary(level + 1)
        while self._is(*_BINARY[level]):
            sign = self._take().text
            left = _node(sign, left.start, (left, self._binary(level + 1)))
        return left

    def _unary(self) -> Node:
        if not self._is("!", "-"):
            return self._member()
        first = self._take()
        signs = first.text
        while self._is(first.text):
            signs += self._take().text
        return _node(first.text, first.start, (self._member(),), signs)

    def _member(self) -> Node:
        found = self._primary()
        while self._is(".", "["):
            if self._take().text == "[":
                index = self.ternary()
                found = _node("[]", found.start, (found, index), end=self.expect("]").end)
                continue
            name = self.expect("word")
            if self._is("("):
                found = _node("method", found.start, (found, *self._arguments()), name.text, self._last.end)
            else:
                found = _node(".", found.start, (found,), name.text, name.end)
        return found

    @property
    def _last(self) -> _Token:
        return self._tokens[self._place - 1]

    def _arguments(self) -> tuple[Node, ...]:
        self.expect("(")
        return tuple(self._several(")", self.ternary))

    def _several(self, closing: str, one: Callable[[], Node], *, trailing: bool = False) -> list[Node]:
        """Comma-separated parts, up to and including the closing token."""
        found: list[Node] = []
        while not self._is(closing):
            if found:
                self.expect(",")
                if trailing and self._is(closing):
                    break
            found.append(one())
        self._take()
        return found

    def _pair(self) -> Node:
        key = self.ternary()
        self.expect(":")
        return _node("pair", key.start, (key, self.ternary()))

    def _primary(self) -> Node:
        token = self._take()
        match token.kind, token.text:
            case "string", text:
                prefix = text[: len(text) - len(text.lstrip("rRbB"))].lower()
                return _node("bytes" if "b" in prefix else "string", token.start, (), text, token.end)
            case "number", text:
                is_hex = text[:2].lower() == "0x"
                kind = "uint" if text[-1] in "uU" else "int" if is_hex or text.isdigit() else "double"
                return _node(kind, token.start, (), text, token.end)
            case "word", "true" | "false":
                return _node("bool", token.start, (), token.text, token.end)
            case "word", "null":
                return _node("null", token.start, (), token.text, token.end)
            case "word", text if text != "in":
                if not self._is("("):
                    return _node("name", token.start, (), text, token.end)
                op = "has" if text == "has" else "call"
                return _node(op, token.start, self._arguments(), text, self._last.end)
            case "sign", "(":
                inner = self.ternary()
                return _node("()", token.start, (inner,), end=self.expect(")").end)
            case "sign", "[":
                return _node(
                    "list", token.start, tuple(self._several("]", self.ternary, trailing=True)), end=self._last.end
                )
            case "sign", "{":
                pairs = tuple(self._several("}", self._pair, trailing=True))
                return _node("map", token.start, pairs, end=self._last.end)
            case _:
                raise _misplaced(token)


def _misplaced(token: _Token) -> Malformed:
    seen = repr(token.text) if token.text else "its end"
    return Malformed(f"{seen} cannot stand here (at character {token.start + 1})")


def _node(op: str, start: int, parts: Sequence[Node], text: str = "", end: int = 0) -> Node:
    depth = 1 + max((part.depth for part in parts), default=0)
    if depth > MAX_DEPTH:
        raise Malformed(f"it has more than {MAX_DEPTH} operations one after the other")
    return Node(op, start, end or parts[-1].end, tuple(parts), text, depth)


def bare(node: Node, /) -> Node:
    """The node without surrounding parentheses."""
    while node.op == "()":
        node = node.parts[0]
    return node


def content_of(node: Node, /) -> str:
    """The content of a string literal, which has no escapes."""
    quote = node.text[-1]
    return node.text[node.text.index(quote) + 1 : -1]
