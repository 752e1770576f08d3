"""The kinds of values that parts of a condition have, and how they can be combined. Pure.

Kinds are CEL's types plus two: `json` is a value of the event's properties, context or traits (a double, string, boolean, list or
map, never null), and `any` can be anything. Combinations that can never work are refused.
"""

from headrace.reactions.syntax import Malformed

JSON = frozenset(["json", "double", "string", "bool", "list", "map"])
NUMBERS = frozenset(["int", "uint", "double"])
ORDERED = frozenset([*NUMBERS, "string", "bytes", "bool", "timestamp", "duration"])
SIZED = frozenset(["string", "bytes", "list", "map"])
# The kinds that each conversion accepts.
CONVERTED = {
    "int": frozenset(["int", "uint", "double", "string"]),
    "uint": frozenset(["int", "uint", "double", "string"]),
    "double": frozenset(["int", "uint", "double", "string"]),
    "string": frozenset([*NUMBERS, "string", "bytes", "bool", "timestamp", "duration"]),
    "timestamp": frozenset(["string"]),
    "duration": frozenset(["string"]),
}
_SUMS = {
    ("timestamp", "duration"): "timestamp",
    ("duration", "timestamp"): "timestamp",
    ("duration", "duration"): "duration",
} | {(kind, kind): kind for kind in ("string", "bytes", "list")}
_DIFFERENCES = {
    ("timestamp", "timestamp"): "duration",
    ("timestamp", "duration"): "timestamp",
    ("duration", "duration"): "duration",
}
_NAMES = {
    "int": "an integer",
    "uint": "an unsigned integer",
    "double": "a number",
    "string": "a string",
    "bytes": "bytes",
    "bool": "true or false",
    "null": "null",
    "list": "a list",
    "map": "a map",
    "timestamp": "a timestamp",
    "duration": "a duration",
    "json": "a property",
    "any": "a value",
}


def may_be(kind: str, kinds: frozenset[str], /) -> bool:
    """Whether a value of this kind can be of one of the others."""
    return kind == "any" or kind in kinds or (kind == "json" and not JSON.isdisjoint(kinds))


def require(kind: str, kinds: frozenset[str], what: str, /) -> None:
    """Raises Malformed unless the kind fits. what: the predicate of the message, such as "cannot be negated"."""
    if not may_be(kind, kinds):
        raise Malformed(f"{_NAMES[kind]} {what}")


def of_arithmetic(op: str, left: str, right: str, /) -> str:
    """The kind of `left op right`, after integers beside doubles have become doubles. Raises Malformed."""
    if op == "%":
        if "double" in (left, right) or "json" in (left, right):
            raise Malformed("% takes integers, and numbers of events are doubles: write int(event.properties.x) % 2")
        if {left, right} <= {"int", "uint", "any"} and len({left, right} - {"any"}) < 2:
            return left if right == "any" else right
    elif left == right and left in NUMBERS:
        return left
    elif op in "+-" and (found := (_SUMS if op == "+" else _DIFFERENCES).get((left, right))):
        return found
    elif "any" in (left, right):
        return "any"
    elif "json" in (left, right):
        other = right if left == "json" else left
        if other in ("json", "double"):
            return "double" if op != "+" or other == "double" else "json"
        if op == "+" and other in ("string", "list"):
            return other
    raise Malformed(f"{op} cannot combine {_NAMES[left]} and {_NAMES[right]}")


def check_comparison(op: str, left: str, right: str, /) -> None:
    """Raises Malformed if no values of these kinds can be compared, or be equal."""
    sides = f"{_NAMES[left]} and {_NAMES[right]}"
    if op not in ("==", "!="):
        if not may_be(left, ORDERED) or not may_be(right, ORDERED) or not _alike(left, right):
            raise Malformed(f"{sides} cannot be compared by {op}")
    elif op == "==" and not _alike(left, right):
        raise Malformed(f"{sides} are never equal")


def _alike(left: str, right: str) -> bool:
    if left == right or "any" in (left, right) or {left, right} <= NUMBERS:
        return True
    other = right if left == "json" else left if right == "json" else None
    return other in JSON or other in NUMBERS or other == "null"  # an item of a list may be null


def of_choice(then: str, other: str, /) -> str:
    """The kind of a value that is one or the other."""
    if then == other:
        return then
    return "json" if {then, other} <= JSON else "any"
