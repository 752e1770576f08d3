"""What conditions cost: how much work one is, known from its form and from how large what it reads is. Pure; measures no time.

Work is counted in nanoseconds, as the slowest kind of value took on the machine named in bench/RESULTS.md; it is a count and
no measurement, so the same event and rules always cost the same. docs/decisions/0092-cost-of-conditions.md says why.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

Path: TypeAlias = tuple[
    str, str | None
]  # a field of the event and a key in it: ("properties", "amount"), ("name", None)

EVALUATION_NS = (
    2_500_000  # the most that one evaluation may cost, or handing an event over: both keep the interpreter's lock
)
EVENT_NS = 8_000_000  # … and all that one event sets off, together

RULE_NS = 1_000  # starting an evaluation
FACT_NS = 1_000
PICK_NS = 300  # a field of a fact
READ_NS = 1_000  # finding a value in the event, and its size
STEP_NS = 100  # each operation of a condition
# What each item and each byte of a value costs to go through it once.
ITEM_NS = 45
BYTE_NS = 0.1
# Handing a value to the evaluator: reading its JSON, and making an object of each item.
HANDED_ITEM_NS = 1_000
HANDED_BYTE_NS = 2.0


class Size(NamedTuple):
    """How large a value is: its items, with those of what is in it, and keys counting as items; and its bytes as JSON."""

    items: int
    bytes: int

    def work(self) -> float:
        """What it costs to go through the value once: to copy it, or to look at all of it."""
        return self.items * ITEM_NS + self.bytes * BYTE_NS

    def handing(self) -> float:
        """What it costs to hand the value over, which happens once an event however many conditions read it."""
        return self.items * HANDED_ITEM_NS + self.bytes * HANDED_BYTE_NS


# What each condition has to stay within its bound over: 4 KiB of JSON, of the kind with the most items for its bytes.
MODEST = Size(2048, 4096)
# What all conditions have to stay within their bound over, together: as much text and so many values, none of which has items.
PLAIN = Size(2000, 4096)


class Form(msgspec.Struct, frozen=True, gc=False):
    """An amount of work that depends on what is read.

    fixed: what is always needed. times: how often the value of each path is gone through. text: how often its bytes alone are,
    where only a text takes work.
    """

    fixed: float = 0.0
    times: Mapping[Path, float] = {}
    text: Mapping[Path, float] = {}

    def __add__(self, other: "Form") -> "Form":
        return Form(self.fixed + other.fixed, _sum(self.times, other.times), _sum(self.text, other.text))

    def scaled(self, factor: float, text: float = 0.0, /) -> "Form":
        """This many times the work, and so many times that of going through it as a text."""
        times = {path: count * factor for path, count in self.times.items()} if factor else {}
        texts = {path: count * text for path, count in self.times.items()} if text else {}
        return Form(self.fixed * (factor + text), times, texts)

    def at(self, sizes: Mapping[Path, Size], /) -> float:
        """The work where the values have these sizes; what is not there takes none."""
        found = self.fixed
        for path, count in self.times.items():
            if size := sizes.get(path):
                found += count * (size[0] * ITEM_NS + size[1] * BYTE_NS)
        for path, count in self.text.items():
            if size := sizes.get(path):
                found += count * size[1] * BYTE_NS
        return found

    def at_most(self, together: Size, /) -> float:
        """The work where all that is read has this size together, however that is spread."""
        spread = together.work()
        bytes_ns = together.bytes * BYTE_NS
        single = ITEM_NS + bytes_ns
        most = max((count * (spread if has_items(path) else single) for path, count in self.times.items()), default=0.0)
        return self.fixed + most + max(self.text.values(), default=0.0) * bytes_ns

    def at_plain(self) -> float:
        """The work over an event of which only values without items are read, with as much text as PLAIN has."""
        bytes_ns = PLAIN.bytes * BYTE_NS
        most = max(self.times.values(), default=0.0) + max(self.text.values(), default=0.0)
        return self.fixed + sum(self.times.values()) * ITEM_NS + most * bytes_ns


def has_items(path: Path, /) -> bool:
    """Whether a value there may be a list or an object."""
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
    """What is at least as much as either."""
    times = {path: max(one.times.get(path, 0.0), other.times.get(path, 0.0)) for path in {*one.times, *other.times}}
    return Form(max(one.fixed, other.fixed), times)


def smaller(one: Form, other: Form, /) -> Form:
    """What is as much as the smaller of the two, or more: what two values can have in common."""
    if not one.times or not other.times:
        return other if not other.times else one
    return one + other


def total(forms: Iterable[Form], /) -> Form:
    found = NOTHING
    for form in forms:
        found += form
    return found


def milliseconds(work: float, /) -> str:
    """As texts for people say it."""
    return f"{work / 1e6:.3g} ms"


class Wanted(NamedTuple):
    """What one condition would cost over one event: by itself, and handing over what it reads."""

    work: float
    paths: frozenset[Path]


def admitted(wanted: Sequence[Wanted], handing: Mapping[Path, float], reserved: float, /) -> list[bool]:
    """Which conditions are evaluated: none that is too much by itself, and the cheapest ones as far as the bound for all reaches.

    handing: what handing over each value costs, which is paid once, and may not be more than one evaluation in all.
    reserved: what the event's facts cost.
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
