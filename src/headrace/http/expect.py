"""`Expect: 100-continue`: the final status comes in place of the 100 where the head decides it. Reads no body."""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class HeadFirst:
    """Receives for a request whose client waits: first the head alone, for which the client need not be told to go on.

    Whoever answers without asking for more does so in place of the 100. The client may then send its body or leave it out, so
    that reply is the connection's last.
    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1
    """

    def __init__(self, cycle: RequestResponseCycle, is_stopping: Callable[[], bool]) -> None:
        """is_stopping: whether the server is shutting down, and so keeps no connection alive."""
        self._cycle = cycle
        self._is_stopping = is_stopping
        self._keep_alive = cycle.keep_alive
        self._asked = False
        cycle.keep_alive = False

    async def receive(self) -> Any:
        """Source: https://asgi.readthedocs.io/en/latest/specs/www.html#request-receive-event"""
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": True}
        self._cycle.keep_alive = self._keep_alive and not self._is_stopping()
        return await RequestResponseCycle.receive(self._cycle)
