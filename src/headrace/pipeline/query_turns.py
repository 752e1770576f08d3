"""Whose query comes next, and which ones cannot make it. Knows no clock, no threads and nothing of what is asked.

Projects share the readers' time equally while they have queries waiting. Within a project a query waits for those that came
before it and, for about as long as it takes itself, lets cheaper ones pass.
"""

from collections import OrderedDict
from typing import Generic, TypeVar

import msgspec

from headrace.model.askers import Asker

_MOST_KNOWN = 10_000
_UNKNOWN_S = 0.02
_NEWEST_WEIGHS = 0.3


class Waiting(msgspec.Struct, eq=False):
    """A query that waits. Seconds, by any one clock. ready: False while it may not begin although it would be its turn."""

    by: Asker
    cost_s: float
    arrived_s: float
    ready: bool = True


AnyWaiting = TypeVar("AnyWaiting", bound=Waiting)


class Costs:
    """How long queries take, by who asks: a moving average."""

    def __init__(self) -> None:
        self._known: OrderedDict[Asker, float] = OrderedDict()

    def of(self, by: Asker, /) -> float:
        return self._known.get(by, _UNKNOWN_S)

    def learn(self, by: Asker, took_s: float, /) -> None:
        known = self._known.pop(by, None)
        self._known[by] = took_s if known is None else known + _NEWEST_WEIGHS * (took_s - known)
        if len(self._known) > _MOST_KNOWN:
            self._known.popitem(last=False)


class Turns(Generic[AnyWaiting]):
    """Queries that wait for a reader."""

    def __init__(self) -> None:
        self._of: dict[str, list[AnyWaiting]] = {}
        self._used_s: dict[str, float] = {}  # of readers' time, by owner; only differences mean something
        self._least_s = 0.0  # what the owner of the last turn had used: whoever comes back begins there

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    @property
    def queuing(self) -> int:
        """How many could begin if there were a reader."""
        return sum(each.ready for own in self._of.values() for each in own)

    @property
    def ready_s(self) -> float:
        """How much readers' time those take that could begin."""
        return sum(each.cost_s for own in self._of.values() for each in own if each.ready)

    def add(self, waiting: AnyWaiting, /) -> None:
        own = self._of.get(waiting.by.owner)
        if own is None:
            own = self._of[waiting.by.owner] = []
            self._used_s[waiting.by.owner] = max(self._used_s.get(waiting.by.owner, 0.0), self._least_s)
        place = len(own)
        while place and _rank(own[place - 1]) > _rank(waiting):
            place -= 1
        own.insert(place, waiting)

    def remove(self, waiting: AnyWaiting, /) -> bool:
        """Whether it was waiting."""
        own = self._of.get(waiting.by.owner, [])
        if waiting not in own:
            return False
        own.remove(waiting)
        if not own:
            del self._of[waiting.by.owner]
        return True

    def take(self) -> AnyWaiting | None:
        """The next one that is ready, of the owner who has used the least."""
        ready = {owner: each for owner, own in self._of.items() if (each := next(filter(_is_ready, own), None))}
        if not ready:
            return None
        owner = min(ready, key=lambda each: self._used_s[each])
        waiting = ready[owner]
        self.remove(waiting)
        self._least_s = self._used_s[owner]
        self._used_s[owner] += waiting.cost_s
        return waiting

    def took(self, waiting: Waiting, seconds: float, /) -> None:
        """How long one that was taken has used a reader."""
        owner = waiting.by.owner
        if owner in self._used_s:
            self._used_s[owner] += seconds - waiting.cost_s
        if not self._of:  # nobody to compare with
            self._used_s.clear()
            self._least_s = 0.0

    def ahead_s(self, waiting: Waiting, /) -> float:
        """About how much readers' time those before it take; it may or may not have been added."""
        own = sum(each.cost_s for each in self._of.get(waiting.by.owner, ()) if _rank(each) < _rank(waiting))
        others = [sum(each.cost_s for each in those) for owner, those in self._of.items() if owner != waiting.by.owner]
        # While it waits for its own, each other project gets as much, if it wants that.
        return own + sum(min(all_of, own + waiting.cost_s) for all_of in others)

    def is_late(self, waiting: AnyWaiting, now_s: float, readers: float, patience_s: float, /) -> bool:
        """Whether it would have to wait longer than the patience, from when it came until it begins."""
        return now_s + self.ahead_s(waiting) / readers > waiting.arrived_s + patience_s

    def late(self, now_s: float, readers: float, patience_s: float, /) -> list[AnyWaiting]:
        """Those of the ready that are late."""
        all_of = [each for own in self._of.values() for each in own if each.ready]
        return [each for each in all_of if self.is_late(each, now_s, readers, patience_s)]


def _is_ready(waiting: Waiting) -> bool:
    return waiting.ready


def _rank(waiting: Waiting) -> float:
    return waiting.arrived_s + waiting.cost_s
