"""Rate limits: a moving minute per key and kind of route. Counts requests; never looks into them."""

import math
import time

import falcon.asgi
from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from headrace.http.protocol import RATE_HEADERS
from headrace.model.errors import RateLimited
from headrace.model.keys import Key
from headrace.model.settings import Settings

_WINDOW_S = 60


class RateLimits:
    """The limits of one server. For the event loop's thread alone, so that no two requests count at once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def spend(self, kind: str, key: Key, req: falcon.asgi.Request, resp: falcon.asgi.Response, /) -> None:
        """Count a request against `limit_<kind>`, and say in the response what is left, whoever gives it.

        Raises RateLimited when nothing is left; a refused request does not count.
        Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        """
        limit: int = getattr(self._settings, f"limit_{kind}")
        if not limit or self._settings.rate_limits == "off":
            return
        item = RateLimitItemPerMinute(limit)
        allowed = self._limiter.hit(item, kind, key.id)
        reset_at, remaining = self._limiter.get_window_stats(item, kind, key.id)
        reset_s = max(1, math.ceil(reset_at - time.time()))
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(remaining),
            "X-RateLimit-Reset": str(math.ceil(reset_at)),
            "RateLimit-Policy": f'"{kind}";q={limit};w={_WINDOW_S}',
            "RateLimit": f'"{kind}";r={remaining};t={reset_s}',
        }
        resp.set_headers(headers)
        req.scope[RATE_HEADERS] = headers  # for an answer that does not come from a route
        if not allowed:
            raise RateLimited(limit, _WINDOW_S, reset_s)
