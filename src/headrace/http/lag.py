"""`Headrace-Lag-Ms` on a gateway's answers to queries. See docs/decisions/0174-the-lag-of-a-gateway.md."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from headrace.dialects.route import Dialect
from headrace.http.forward import Paths, is_for_worker
from headrace.http.scope import SEND_WHOLE
from headrace.http.stale import STALE

Message = dict[str, Any]
HEADER = b"headrace-lag-ms"
_STALE = STALE.lower().encode()


class Lagging:
    """The ASGI application of a gateway, around the one that answers."""

    def __init__(
        self, app: Callable[..., Awaitable[None]], dialects: Sequence[Dialect], lag_ms: Callable[[], int]
    ) -> None:
        """lag_ms: see `LagWatch.lag_ms`."""
        self._app = app
        self._lag_ms = lag_ms
        self._queries = Paths(
            route
            for dialect in dialects
            for route in dialect.routes
            if route.scope == "query" and not is_for_worker(route)
        )

    async def __call__(self, scope: Message, receive: Any, send: Callable[[Message], Awaitable[None]]) -> None:
        if not self._queries.have(scope):
            await self._app(scope, receive, send)
            return

        async def send_with_lag(message: Message) -> None:
            # Of a stale answer nobody knows the lag: it has the time until which it is complete.
            if message["type"] == "http.response.start" and not any(name == _STALE for name, _ in message["headers"]):
                message["headers"] = [*message["headers"], (HEADER, b"%d" % self._lag_ms())]
            await send(message)

        scope.pop(SEND_WHOLE, None)
        await self._app(scope, receive, send_with_lag)
