"""Recent rates of events. The request path only adds to integers; a thread samples them every few seconds."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

from headrace.model.status import Step

STEP_S = 10.0
_STEPS = 90  # a quarter of an hour


class Throughput:
    """`accepted`, `refused` and `refused_requests` only grow, and only the event loop's thread adds to them."""

    def __init__(self, stored: Callable[[], int], clock_ms: Callable[[], int]) -> None:
        """stored: how many events have been stored since startup."""
        self.accepted = 0
        self.refused = 0
        self.refused_requests = 0
        self._stored = stored
        self._clock_ms = clock_ms
        self._seen: deque[tuple[int, float, tuple[int, ...]]] = deque(maxlen=_STEPS + 1)

    def sample(self) -> bool:
        """Take a sample. Returns False so that the loop that calls this rests."""
        counts = self.accepted, self._stored(), self.refused, self.refused_requests
        self._seen.append((self._clock_ms(), time.monotonic(), counts))
        return False

    def steps(self) -> Sequence[Step]:
        """The rates per second between samples, oldest first. Any thread may call this."""
        seen = list(self._seen)
        found: list[Step] = []
        for (_, began, before), (ended_ms, ended, after) in pairwise(seen):
            seconds = max(ended - began, 1e-3)
            rates = [round((new - old) / seconds, 3) for old, new in zip(before, after, strict=True)]
            found.append(Step(ended_ms, *rates))
        return found
