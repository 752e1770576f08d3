"""The cost of conditions, computed from their form and from the sizes of the values they read. Pure; measures no time.

Work is counted in nanoseconds, as the slowest kind of value took on the machine named in bench/RESULTS.md. It is counted, not
measured, so the same event and rules always cost the same. docs/decisions/0092-cost-of-conditions.md says why.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

Path: TypeAlias = tuple[
    str, str | None
]  # a field of the event and a key in it: ("properties", "amount"), ("name", None)

EVALUATION_NS = (
    2_500_000  # the most that one evaluation, or handing an event over, may cost: both hold the interpreter's lock
)
EVENT_NS = 8_000_000  # … and everything that one event causes, together

RULE_NS = 1_000  # starting an evaluation
FACT_NS = 1_000
PICK_NS = 300  # a field of a fact
READ_NS = 1_000  # finding a value and its size in the event
STEP_NS = 100  # each operation of a condition
# The cost of each item and each byte in one pass through a value.
ITEM_NS = 45
BYTE_NS = 0.1
# Handing a value to the evaluator: parsing its JSON and creating an object for each item.
HANDED_ITEM_NS = 1_000
HANDED_BYTE_NS = 2.0


class Size(NamedTuple):
    """The size of a value: the number of its items, nested ones and keys included, and its bytes as JSON."""

    items: int
    bytes: int

    def work(self) -> float:
        """The cost of one pass through the value: copying it, or looking at all of it."""
        return self.items * ITEM_NS + self.bytes * BYTE_NS

    def handing(self) -> float:
        """The cost of handing the value over, once per event, however many conditions read it."""
        return self.items * HANDED_ITEM_NS + self.bytes * HANDED_BYTE_NS


# The event over which each condition has to stay within its limit: 4 KiB of JSON, with as many items as that can have.
MODEST = Size(2048, 4096)
# The event over which all conditions together have to stay within their limit: this much text and this many plain values.
PLAIN = Size(2000, 4096)


class Form(msgspec.Struct, frozen=True, gc=False):
    """An amount of work that depends on the values read.

    fixed: the work that is always needed. times: the number of passes through each path's value. text: the passes that cost
    only for its bytes, if only a text takes work.
    """

    fixed: float = 0.0
    times: Mapping[Path, float] = {}
    text: Mapping[Path, float] = {}

    def __add__(self, other: "Form") -> "Form":
        return Form(self.fixed + other.fixed, _sum(self.times, other.times), _sum(self.text, other.text))

    def scaled(self, factor: float, text: float = 0.0, /) -> "Form":
        """This many times the work, and this many times the passes over it as text."""
        times = {path: count * factor for path, count in self.times.items()} if factor else {}
        texts = {path: count * text for path, count in self.times.items()} if text else {}
        return Form(self.fixed * (factor + text), times, texts)

    def at(self, sizes: Mapping[Path, Size], /) -> float:
        """The work for values of these sizes. Absent values take none."""
        found = self.fixed
        for path, count in self.times.items():
            if size := sizes.get(path):
                found += count * (size[0] * ITEM_NS + size[1] * BYTE_NS)
        for path, count in self.text.items():
            if size := sizes.get(path):
                found += count * size[1] * BYTE_NS
        return found

    def at_most(self, together: Size, /) -> float:
        """The work if all values read together have this size, however it is distributed."""
        spread = together.work()
        bytes_ns = together.bytes * BYTE_NS
        single = ITEM_NS + bytes_ns
        most = max((count * (spread if has_items(path) else single) for path, count in self.times.items()), default=0.0)
        return self.fixed + most + max(self.text.values(), default=0.0) * bytes_ns

    def at_plain(self) -> float:
        """The work over an event with only plain values and as much text as PLAIN has."""
        bytes_ns = PLAIN.bytes * BYTE_NS
        most = max(self.times.values(), default=0.0) + max(self.text.values(), default=0.0)
        return self.fixed + sum(self.times.values()) * ITEM_NS + most * bytes_ns


def has_items(path: Path, /) -> bool:
    """Whether the value at this path may be a list or an object."""
    root, key = path
    return root in ("properties", "context", "traits", "person", "steps") or (root == "tags" and key is None)


def _sum(one: Mapping[Path, float], other: Mapping[Path, float]) -> Mapping[Path, float]:
    if not one or not other:
        return one or other
    found = dict(one)
    for path, count in other.items():
        found[path] = found.get(path, 0.0) + count
    return found


NOTHING = Form()


def larger(one: Form, other: Form, /) -> Form:
    """An upper bound of both."""
    times = {path: max(one.times.get(path, 0.0), other.times.get(path, 0.0)) for path in {*one.times, *other.times}}
    return Form(max(one.fixed, other.fixed), times)


def smaller(one: Form, other: Form, /) -> Form:
    """At least the smaller of the two: a bound for what two values can have in common."""
    if not one.times or not other.times:
        return other if not other.times else one
    return one + other


def total(forms: Iterable[Form], /) -> Form:
    found = NOTHING
    for form in forms:
        found += form
    return found


def milliseconds(work: float, /) -> str:
    """Milliseconds, for texts that people read."""
    return f"{work / 1e6:.3g} ms"


class Wanted(NamedTuple):
    """The cost of one condition over one event: of evaluating it, and of handing over the values it reads."""

    work: float
    paths: frozenset[Path]


def admitted(wanted: Sequence[Wanted], handing: Mapping[Path, float], reserved: float, /) -> list[bool]:
    """Choose the conditions to evaluate: none that costs too much by itself, and the cheapest ones within the common limit.

    handing: the cost of handing over each value, paid once. All together may not cost more than one evaluation.
    reserved: the cost of the event's facts.
    """
    found = [False] * len(wanted)
    handed: set[Path] = set()
    work_left, handing_left = EVENT_NS - reserved, float(EVALUATION_NS)
    by_cost = sorted(range(len(wanted)), key=lambda place: _alone(wanted[place], handing))
    for place in by_cost:
        work, paths = wanted[place]
        fresh = sum(handing.get(path, 0.0) for path in paths if path not in handed)
        if work > EVALUATION_NS or fresh > handing_left or work + fresh > work_left:
            continue
        found[place] = True
        handed |= paths
        handing_left -= fresh
        work_left -= work + fresh
    return found


def _alone(wanted: Wanted, handing: Mapping[Path, float]) -> float:
    return wanted.work + sum(handing.get(path, 0.0) for path in wanted.paths)
