"""Tags and properties that get a column of their own: which ones are worth it. No I/O, no SQL."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import msgspec

MAX_PATH_CHARS = 300  # of a key; longer ones are never learned
_LEAST_USES = 3
_MEAN_SHARE = 1 / 500  # of the seconds after which a key gets a column: cheaper queries gain too little from one

ColumnKind: TypeAlias = Literal["tag", "property", "number"]
_LEAST_COUNTED = 4  # events for each group that is counted: fewer are read as soon as their groups
CountedBy: TypeAlias = Literal["time", "name"]
COUNTED_BY: tuple[CountedBy, ...] = ("time", "name")
"""How many events have each of a column's values: by quarter of an hour, or by name and quarter of an hour."""
# What a column of each kind costs an insert, where a tag's costs 1: some 0.3 µs of processor an event.
COSTS: Mapping[ColumnKind, float] = {"number": 0.5, "tag": 1.0, "property": 1.5}


class ColumnKey(msgspec.Struct, frozen=True, order=True):
    """What a column holds.

    tag: the tag of that name or, without one, the string property. property: its JSON, by the keys that lead to it, from the
    outside in. number: a property's number.
    """

    kind: ColumnKind
    path: tuple[str, ...]

    @property
    def is_learnable(self) -> bool:
        return sum(map(len, self.path)) <= MAX_PATH_CHARS


class OwnColumn(msgspec.Struct, frozen=True):
    """A column as it is in the table.

    project: whose queries earned it, "" for a tag named in the settings. filling: the partitions in which more than a few events
    are in parts that do not have it yet: those compute it as they are read. counting: the same for each of its counts.
    """

    key: ColumnKey
    name: str
    project: str
    since_ms: int
    is_hinted: bool
    bytes: int
    filling: Sequence[str]
    counting: Mapping[CountedBy, Sequence[str]] = {}

    @property
    def is_complete(self) -> bool:
        return not self.filling

    @property
    def uncounted(self) -> list[CountedBy]:
        """The counts that it could have. Numbers seldom repeat, and are not asked for one by one."""
        if not self.is_complete or self.key.kind == "number":
            return []
        return [by for by in COUNTED_BY if by not in self.counting]


class Use(msgspec.Struct, frozen=True):
    """How often a project's queries asked for a key of late, how long they took together, and when the last one was."""

    project: str
    key: ColumnKey
    uses: int
    seconds: float
    last_ms: int


class Budget(msgspec.Struct, frozen=True):
    """columns: what they may cost together, besides those named in the settings: see `COSTS`. after_s: seconds of queries after
    which a key is worth a column. keep_ms: how long a column stays that nobody asks for.
    """

    columns: float
    bytes: int
    after_s: float
    keep_ms: int

    @property
    def of_one_project(self) -> float:
        """What the columns that one project's queries earn may cost: a quarter is left for others."""
        return self.columns * 3 / 4


def wanted(uses: Iterable[Use], columns: Collection[OwnColumn], budget: Budget, /) -> list[tuple[ColumnKey, str]]:
    """The keys that are worth a column and may have one, the costliest first, each with the project that asked most for it."""
    by_key: dict[ColumnKey, list[Use]] = {}
    for use in uses:
        by_key.setdefault(use.key, []).append(use)
    held: dict[str, float] = {}
    for each in columns:
        if not each.is_hinted:
            held[each.project] = held.get(each.project, 0) + COSTS[each.key.kind]
    left = budget.columns - sum(held.values())
    have = {each.key for each in columns}
    found: list[tuple[float, ColumnKey, str]] = []
    for key, asked in by_key.items():
        seconds, times = sum(use.seconds for use in asked), sum(use.uses for use in asked)
        owner = max(asked, key=lambda use: (use.seconds, use.project)).project
        is_worth_it = (
            seconds >= budget.after_s and times >= _LEAST_USES and seconds / times >= budget.after_s * _MEAN_SHARE
        )
        cost = COSTS[key.kind]
        has_room = cost <= left and held.get(owner, 0) + cost <= budget.of_one_project
        if key not in have and is_worth_it and has_room:
            found.append((seconds, key, owner))
    return [(key, owner) for _, key, owner in sorted(found, key=lambda each: (-each[0], each[1]))]


def are_worth_counting(groups: int, events: int, /) -> bool:
    """Whether so many events in so many groups are answered faster from counts."""
    return events >= _LEAST_COUNTED * groups > 0


def unused(
    columns: Iterable[OwnColumn], last_use_ms: Mapping[ColumnKey, int], now_ms: int, budget: Budget, /
) -> list[OwnColumn]:
    """The columns that nobody has asked for in so long that they go. One that is named in the settings stays."""
    return [
        each
        for each in columns
        if not each.is_hinted and max(each.since_ms, last_use_ms.get(each.key, 0)) < now_ms - budget.keep_ms
    ]
