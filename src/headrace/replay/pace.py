"""How hard a job works beside live traffic: how many events at a stretch, and how long it rests after. Never sleeps itself.

While nobody else uses the server a job rests no longer than for others to get at control. Otherwise it works no more than its
share of the time, and less while its work shows in what others wait for: the time until the event loop answers, which every
request begins with.
"""

import time
from collections.abc import Callable

# Seconds that a slice should take, and the fewest events in one: alone, and beside live traffic. A transaction costs some 4 ms
# whatever is in it, and on a busy machine more than a slice should take; so a slice is never so small that the job would do
# nothing else.
_ALONE, _BESIDE = (0.03, 100), (0.006, 50)
_MOST_EVENTS = 500
_BEARABLE_S = 0.005  # what the event loop may need to answer while the job works
_BREATH_S = 0.01  # in which others get at the control database, who ask for it ever more rarely
_LEAST = 1 / 4  # of the share: a question to the store is long, and at a sixteenth its rest was 13 s

Ask = Callable[[], Callable[[], float]]


class Pace:
    def __init__(self, share: float, *, is_quiet: Callable[[], bool], ask: Ask) -> None:
        """share: the part of its time that a job may work beside live traffic, above 0 and up to 1.

        `is_quiet`: whether there is no live traffic. `ask` asks the event loop for a sign, and gives a function that tells
        the seconds which that has taken so far.
        """
        self._most = self._share = share
        self._is_quiet = is_quiet
        self._ask = ask
        self._slice = _BESIDE[1]
        self._began = 0.0
        self._asked: Callable[[], float] = lambda: 0.0

    def slice(self) -> int:
        """How many events to replay next."""
        return self._slice

    def begin(self) -> None:
        self._began = time.monotonic()
        self._asked = self._ask()

    def end(self, events: int = 0) -> float:
        """The seconds to rest after what has been done since `begin`: a slice of so many events, or a question."""
        worked_s, waited_s = time.monotonic() - self._began, self._asked()
        is_quiet = self._is_quiet()
        if events:
            wanted_s, least = _ALONE if is_quiet else _BESIDE
            fitting = int(events * wanted_s / max(worked_s, 1e-6))
            self._slice = max(least, min(_MOST_EVENTS, self._slice * 2, fitting))
        if is_quiet:
            return _BREATH_S
        if waited_s > _BEARABLE_S:
            self._share = max(self._share / 2, self._most * _LEAST)
        else:
            self._share = min(self._share * 1.1, self._most)
        return worked_s * (1 - self._share) / self._share
