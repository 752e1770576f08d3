"""The pace of a replay job beside live traffic: how many events per slice, and how long to rest after it. Never sleeps itself.

While nobody else uses the server, a job rests only long enough for others to get at control. Otherwise it works for its share of
the time at most, and for less while it slows others down: that shows in the time that the event loop takes to answer.
"""

import time
from collections.abc import Callable

# How long a slice should take in seconds, and its least number of events: alone, and beside live traffic. A transaction costs
# about 4 ms whatever it contains, and on a busy machine more than a slice should take; so a slice must not be so small that the
# job does nothing else.
_ALONE, _BESIDE = (0.03, 100), (0.006, 50)
_MOST_EVENTS = 500
_BEARABLE_S = 0.005  # how long the event loop may take to answer while the job works
_BREATH_S = 0.01  # lets others use the control database: waiting writers retry at growing intervals
_LEAST = 1 / 4  # of the share: a query of the store takes long, and at a sixteenth the rest after it was 13 s

Ask = Callable[[], Callable[[], float]]


class Pace:
    def __init__(self, share: float, *, is_quiet: Callable[[], bool], ask: Ask) -> None:
        """share: the part of the time that a job may work beside live traffic, above 0 and up to 1.

        is_quiet: whether there is no live traffic. ask: pings the event loop; the function that it returns gives the seconds
        until the answer, or so far.
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
        """The seconds to rest after the work done since `begin`: a slice of `events` events, or a query."""
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
