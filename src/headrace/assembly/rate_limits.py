"""Rate limits: a sliding minute per key and kind of request. Counts requests; never looks into them."""

import math
import time
from collections import deque
from collections.abc import Callable, Mapping

from headrace.model.allowance import Allowance
from headrace.model.errors import RateLimited
from headrace.model.settings import Settings

_WINDOW_S = 60
_FEW_WINDOWS = 1024


def limits_of(settings: Settings, /) -> dict[str, int]:
    """Requests per minute by kind. Kinds without a limit are left out."""
    if settings.rate_limits == "off":
        return {}
    return {kind: limit for kind, limit in settings.limits().items() if limit}


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
