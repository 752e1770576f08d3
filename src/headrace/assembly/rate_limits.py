"""Rate limits: a sliding minute per key and kind of request. Counts requests; never looks into them."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from headrace.model.allowance import Allowance
from headrace.model.errors import RateLimited, Unavailable
from headrace.model.settings import Settings

_WINDOW_S = 60
_FEW_WINDOWS = 1024
_ALONE_S = 1.0


def limits_of(settings: Settings, /) -> dict[str, int]:
    """Requests per minute by kind. Kinds without a limit are left out."""
    if settings.rate_limits == "off":
        return {}
    return {kind: limit for kind, limit in settings.limits().items() if limit}


class Windows(Protocol):
    """Where the processes of one server count together."""

    def spend(self, purpose: str, window_ms: int, most: int, /) -> tuple[bool, int, int]:
        """Count a use within a sliding window, if it has room: whether it had, the uses in it, and the ms until its first leaves.

        Raises Unavailable.
        """
        ...


class RateLimits:
    """The limits of one server. For the event loop's thread alone, so that no two requests count at once.

    monotonic_s: the clock for the windows, so that setting the wall clock back blocks nobody. clock_s: only for `reset_at_s`.
    """

    def __init__(
        self,
        limits: Mapping[str, int],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._limits = limits
        self._monotonic_s = monotonic_s
        self._clock_s = clock_s
        self._spent: dict[tuple[str, str], deque[float]] = {}
        self._look_at = _FEW_WINDOWS

    def spend(self, kind: str, key_id: str, /) -> Allowance | None:
        """Count a request. Returns what is left, or None if the kind has no limit.

        Raises RateLimited if nothing is left. A refused request does not count.
        """
        limit = self._limits.get(kind)
        if limit is None:
            return None
        now_s = self._monotonic_s()
        spent = self._window(kind, key_id, now_s)
        while spent and spent[0] <= now_s - _WINDOW_S:
            spent.popleft()
        allowed = len(spent) < limit
        if allowed:
            spent.append(now_s)
        left_s = spent[0] + _WINDOW_S - now_s
        allowance = Allowance(
            kind,
            limit,
            _WINDOW_S,
            limit - len(spent),
            max(1, math.ceil(left_s)),
            math.ceil(self._clock_s() + left_s),
        )
        if not allowed:
            raise RateLimited(limit, _WINDOW_S, allowance.reset_s, allowance)
        return allowance

    def limit_of(self, kind: str, /) -> int:
        """Requests per minute; 0 if the kind has no limit."""
        return self._limits.get(kind, 0)

    def _window(self, kind: str, key_id: str, now_s: float) -> deque[float]:
        spent = self._spent.get((kind, key_id))
        if spent is None:
            if len(self._spent) >= self._look_at:
                self._forget(now_s - _WINDOW_S)
            spent = self._spent[kind, key_id] = deque()
        return spent

    def _forget(self, before_s: float) -> None:
        """Drop the windows that no longer contain a request."""
        self._spent = {name: spent for name, spent in self._spent.items() if spent and spent[-1] > before_s}
        self._look_at = max(_FEW_WINDOWS, 2 * len(self._spent))


class SharedRateLimits:
    """The limits of all processes of a server together: one question for each limited request, none where there is no limit.

    While the others cannot be asked, this process counts alone.
    """

    def __init__(
        self,
        alone: RateLimits,
        windows: Windows,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        self._alone = alone
        self._windows = windows
        self._monotonic_s = monotonic_s
        self._clock_s = clock_s
        self._alone_until_s = 0.0
        self._askers = ThreadPoolExecutor(4, thread_name_prefix="rate-limits")

    async def spend(self, kind: str, key_id: str, /) -> Allowance | None:
        """See `RateLimits.spend`. For the event loop's thread."""
        limit = self._alone.limit_of(kind)
        if not limit:
            return None
        if self._monotonic_s() < self._alone_until_s:
            return self._alone.spend(kind, key_id)
        loop = asyncio.get_running_loop()
        try:
            allowed, used, left_ms = await loop.run_in_executor(
                self._askers, self._windows.spend, f"rate:{kind}:{key_id}", _WINDOW_S * 1000, limit
            )
        except Unavailable:
            self._alone_until_s = self._monotonic_s() + _ALONE_S
            return self._alone.spend(kind, key_id)
        left_s = left_ms / 1000
        allowance = Allowance(
            kind, limit, _WINDOW_S, max(0, limit - used), max(1, math.ceil(left_s)), math.ceil(self._clock_s() + left_s)
        )
        if not allowed:
            raise RateLimited(limit, _WINDOW_S, allowance.reset_s, allowance)
        return allowance
