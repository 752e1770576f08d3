"""Translates a condition's tree into the text that the library compiles, the values that it reads, and its cost. Pure.

The text that is compiled differs from the text as written where events and CEL differ:

- `event.properties.amount` becomes a single variable, so that its cost depends only on that value: the library copies each map
  on a path. `tags.plan` is the tag, or the text property of that name, as in filters.
- JSON numbers are doubles, so integers beside them in `+ - * /` become doubles.
- A null property counts as absent, as in filters: `has(x)` is false, and `x == null` becomes `!has(x)`.
- `event.timestamp.getHours("Europe/Berlin")` is the time in that zone, which the library does not support.
- Journeys' conditions also read `person` and, of earlier steps, `steps`: see surroundings.py.
"""

from functools import lru_cache
from typing import NamedTuple

from headrace.model.errors import InvalidRequest
from headrace.model.zones import zone_of
from headrace.reactions import cost, kinds
from headrace.reactions.cost import NOTHING, Form, Path
from headrace.reactions.paths import FIELD_KINDS, TEXTS, path_of, variable
from headrace.reactions.surroundings import ROOTS, kind_of, path_from, said
from headrace.reactions.syntax import CONVERSIONS, METHODS, Malformed, Node, bare, content_of, parse

_BOOL = frozenset(["bool"])
_TEXT = frozenset(["string"])
_SCALAR = Form(cost.Size(1, 400).work())  # the longest text of a number has some 330 characters
# How many passes operations make through their values, including the error messages that show those values.
# Measured with bench/conditions.py.
_THROUGH_SUM = 1.6  # + - * / %
_THROUGH_COMPARISON = 3.5  # of what both sides have in common
_THROUGH_SEARCH = 1.75  # in
_THROUGH_INDEX = 2.5
_THROUGH_LITERAL = 0.5
_THROUGH_RESULT = 2.5  # the result becomes a Python value
_AS_TEXT = 6.0  # a text that is shown in a message, or searched
_AS_DURATION = 200.0


class Translated(NamedTuple):
    """A translated condition: the `program` to compile, the `paths` it reads, its `work`, and `dearest`, its costliest part."""

    program: str
    paths: frozenset[Path]
    work: Form
    dearest: str


class _Part(NamedTuple):
    """A part of a condition: its kind, its text, the size of its value, and its path if the value is read as it is."""

    kind: str
    text: str
    size: Form = _SCALAR
    path: Path | None = None


@lru_cache(2048)
def translate(text: str, steps: frozenset[str] | None = None, /) -> Translated:
    """`steps`: for a condition of a journey, the ids of the steps that it may read. Raises Malformed."""
    return _Translator(text, steps).run()


class _Translator:
    def __init__(self, text: str, steps: frozenset[str] | None) -> None:
        self._text = text
        self._steps = steps
        self._paths: set[Path] = set()
        self._work = Form(cost.RULE_NS)
        self._dearest = (0.0, "")

    def run(self) -> Translated:
        part = self._part(parse(self._text))
        kinds.require(part.kind, _BOOL, "is not true or false")
        if part.kind != "bool":
            self._pay(part.size.scaled(_THROUGH_RESULT, _AS_TEXT))
        return Translated(part.text, frozenset(self._paths), self._work, self._dearest[1])

    def _path(self, node: Node) -> Path | None:
        """The path of a plain read; None for any other node. Raises Malformed."""
        return (None if self._steps is None else path_from(node)) or path_of(node)

    def _pay(self, work: Form, node: Node | None = None) -> None:
        self._work += Form(cost.STEP_NS + work.fixed, work.times, work.text)
        if node and (at := work.at_most(cost.MODEST)) > self._dearest[0]:
            self._dearest = (at, self._text[node.start : node.end])

    def _part(self, node: Node) -> _Part:
        if path := self._path(node):
            return self._read(path, node)
        match node.op:
            case "()":
                inner = self._part(node.parts[0])
                return inner._replace(text=f"({inner.text})")
            case "string" | "bytes" | "int" | "uint" | "double" | "bool" | "null":
                self._pay(NOTHING)
                return _Part(node.op, node.text, Form(cost.Size(1, len(node.text) * 4).work()))
            case "name":
                if node.text in ROOTS and self._steps is not None:
                    raise Malformed(f"{node.text!r} must be followed by what to read of it")
                usable = "'event'" if self._steps is None else "'event', 'person' and 'steps'"
                raise Malformed(f"{node.text!r} is unknown: a condition can only use {usable}")
            case "list" | "map":
                return self._literal(node)
            case "." | "[]":
                return self._inside(node)
            case "has":
                return self._has(node)
            case "call" | "method":
                return self._call(node)
            case "!" | "-" if len(node.parts) == 1:
                return self._sign(node)
            case "?:":
                return self._choice(node)
            case "||" | "&&":
                return self._logic(node)
            case "+" | "-" | "*" | "/" | "%":
                return self._arithmetic(node)
            case _:
                return self._comparison(node)

    def _read(self, path: Path, node: Node) -> _Part:
        root, key = path
        size = Form(0.0, {path: 1.0})
        self._find(path)
        self._pay(size, node)
        kind = FIELD_KINDS[root] if key is None else "string" if root == "tags" else kind_of(path)
        return _Part(kind, f"event.{variable(path)}", size, path)

    def _find(self, path: Path) -> None:
        root, key = path
        if root == "steps":
            step = (key or "").partition("/")[0]
            if step not in (self._steps or ()):
                raise Malformed(f"{said(path)} is not there: no earlier step has the id {step[:80]!r}")
        if path not in self._paths:
            self._paths.add(path)
            self._work += Form(cost.READ_NS)

    def _literal(self, node: Node) -> _Part:
        parts: list[_Part] = []
        texts: list[str] = []
        for each in node.parts:
            found = [self._part(part) for part in (each.parts if node.op == "map" else (each,))]
            if node.op == "map":
                kinds.require(found[0].kind, _KEYS, "cannot be the key of a map")
            parts += found
            texts.append(": ".join(part.text for part in found))
        size = Form(cost.ITEM_NS) + cost.total(part.size for part in parts)
        self._pay(size.scaled(_THROUGH_LITERAL), node)
        opening, closing = "[]" if node.op == "list" else "{}"
        return _Part(node.op, f"{opening}{', '.join(texts)}{closing}", size)

    def _inside(self, node: Node) -> _Part:
        target = self._part(node.parts[0])
        if node.op == ".":
            kinds.require(target.kind, _MAPS, f"has no member {node.text!r}")
            self._pay(target.size, node)
            return _Part("json" if target.kind != "any" else "any", f"{target.text}.{node.text}", target.size)
        index = self._part(node.parts[1])
        kinds.require(target.kind, _INDEXED, "cannot be indexed")
        kinds.require(index.kind, _KEYS | {"double"}, "cannot be an index")
        self._pay(target.size + index.size.scaled(_THROUGH_INDEX, _AS_TEXT), node)
        kind = "json" if target.kind == "json" or target.path else "any"
        return _Part(kind, f"{target.text}[{index.text}]", target.size)

    def _has(self, node: Node) -> _Part:
        if len(node.parts) != 1 or node.parts[0].op != ".":
            raise Malformed("has() takes a path, like has(event.properties.coupon)")
        if path := self._path(node.parts[0]):
            return self._exists(path)
        return _Part("bool", f"has({self._part(node.parts[0]).text})")

    def _exists(self, path: Path) -> _Part:
        """has(): makes no pass through the value. An absent text field of the event itself is empty."""
        self._find(path)
        self._pay(NOTHING)
        name = f"event.{variable(path)}"
        return _Part("bool", f'({name} != "")' if path[0] in TEXTS else f"has({name})")

    def _call(self, node: Node) -> _Part:
        if zoned := self._in_zone(node):
            return zoned
        name, is_method = node.text, node.op == "method"
        parts = [self._part(part) for part in node.parts]
        wanted = 2 if name in ("contains", "startsWith", "endsWith") else 1
        if name not in (METHODS if is_method else CONVERSIONS | {"size"}) or len(parts) != wanted:
            raise Malformed(f"{name}() is written as {_written(name)}")
        kind = "int"
        if name == "size":
            kinds.require(parts[0].kind, kinds.SIZED, "has no size")
        elif name in CONVERSIONS:
            kinds.require(parts[0].kind, kinds.CONVERTED[name], f"cannot be made into {name}")
            kind = name
        elif wanted == 2:
            for part in parts:
                kinds.require(part.kind, _TEXT, f"cannot be passed to {name}(), which takes strings")
            kind = "bool"
        else:
            kinds.require(parts[0].kind, _TIMES, f"is not a timestamp, which {name}() needs")
        read = cost.total(part.size for part in parts)
        self._pay(read.scaled(0.0, _AS_DURATION if name == "duration" else _AS_TEXT), node)
        arguments = ", ".join(part.text for part in parts[is_method:])
        text = f"{parts[0].text}.{name}({arguments})" if is_method else f"{name}({arguments})"
        return _Part(kind, text, _SCALAR + read if name == "string" else _SCALAR)

    def _in_zone(self, node: Node) -> _Part | None:
        """`event.timestamp.getHours("Europe/Berlin")`. Raises Malformed for an unknown zone, or for any other timestamp."""
        if node.op != "method" or not node.text.startswith("get") or len(node.parts) != 2:
            return None
        target, zone = map(bare, node.parts)
        if zone.op != "string" or self._path(target) != ("timestamp", None):
            raise Malformed(
                f"only event.timestamp takes a time zone, as in event.timestamp.{node.text}('Europe/Berlin')"
            )
        name = content_of(zone)
        try:
            zone_of(name)
        except InvalidRequest:
            raise Malformed(f"{name[:80]!r} is not a time zone: write a name such as Europe/Berlin") from None
        local = self._read(("timestamp", name), target)
        return _Part("int", f"{local.text}.{node.text}()")

    def _sign(self, node: Node) -> _Part:
        part = self._part(node.parts[0])
        if node.op == "!":
            kinds.require(part.kind, _BOOL, "cannot be negated by !")
        else:
            kinds.require(part.kind, frozenset(["int", "double"]), "cannot be negated by -")
        self._pay(NOTHING)
        kind = "bool" if node.op == "!" else "double" if part.kind == "json" else part.kind
        return _Part(kind, f"{node.text}{part.text}")

    def _choice(self, node: Node) -> _Part:
        condition, then, other = map(self._part, node.parts)
        kinds.require(condition.kind, _BOOL, "cannot decide by ?")
        if {then.kind, other.kind} & {"json", "double"}:
            then, other = _as_double(then), _as_double(other)
        size = cost.larger(then.size, other.size)
        self._pay(NOTHING)
        return _Part(kinds.of_choice(then.kind, other.kind), f"{condition.text} ? {then.text} : {other.text}", size)

    def _logic(self, node: Node) -> _Part:
        parts = [self._part(part) for part in node.parts]
        for part in parts:
            kinds.require(part.kind, _BOOL, f"cannot be joined by {node.op}")
        self._pay(NOTHING)
        return _Part("bool", f" {node.op} ".join(part.text for part in parts))

    def _arithmetic(self, node: Node) -> _Part:
        left, right = map(self._part, node.parts)
        if node.op != "%" and {left.kind, right.kind} & {"json", "double"}:
            left, right = _as_double(left), _as_double(right)
        kind = kinds.of_arithmetic(node.op, left.kind, right.kind)
        both = left.size + right.size
        self._pay(both.scaled(_THROUGH_SUM), node)
        grows = node.op == "+" and kind in ("json", "any", "string", "bytes", "list")
        return _Part(kind, f"{left.text} {node.op} {right.text}", both if grows else _SCALAR)

    def _comparison(self, node: Node) -> _Part:
        if node.op in ("==", "!=") and (found := self._null(node)):
            return found
        left, right = map(self._part, node.parts)
        if node.op == "in":
            hint = ": for strings, write text.contains(part)" if right.kind == "string" else ""
            kinds.require(right.kind, _MAPS | {"list"}, f"cannot be searched with 'in'{hint}")
        else:
            kinds.check_comparison(node.op, left.kind, right.kind)
        common = cost.smaller(left.size, right.size).scaled(_THROUGH_COMPARISON)
        self._pay((left.size + right.size).scaled(_THROUGH_SEARCH) if node.op == "in" else common, node)
        return _Part("bool", f"{left.text} {node.op} {right.text}")

    def _null(self, node: Node) -> _Part | None:
        """`event.properties.x == null` or `!= null`: null and absent mean the same."""
        one, other = map(bare, node.parts)
        path = self._path(one if other.op == "null" else other)
        if "null" not in (one.op, other.op) or path is None or (path[1] is None and path[0] != "value"):
            return None
        return _Part("bool", f"{'!' if node.op == '==' else ''}{self._exists(path).text}")


_KEYS = frozenset(["int", "uint", "bool", "string"])
_MAPS = frozenset(["map"])
_INDEXED = frozenset(["map", "list"])
_TIMES = frozenset(["timestamp", "duration"])


def _as_double(part: _Part) -> _Part:
    """Turn an integer into a double, for use beside an event's numbers; leave anything else as it is."""
    if part.kind not in ("int", "uint"):
        return part
    if part.text.isdigit():
        return part._replace(kind="double", text=f"{part.text}.0")
    return part._replace(kind="double", text=f"double({part.text})")


def _written(name: str) -> str:
    if name in CONVERSIONS:
        return f"{name}(value)"
    if name == "size":
        return "size(value)"
    if name in ("contains", "startsWith", "endsWith"):
        return f"text.{name}(part)"
    return f"time.{name}()" if name.startswith("get") else "has(event.properties.coupon)"
