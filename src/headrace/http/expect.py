"""`Expect: 100-continue`: sends the final status instead of the 100 if the head alone decides it. Reads no body."""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle


class HeadFirst:
    """The ASGI receive of a request whose client waits for a 100: gives the head first, without telling the client to continue.

    An application that answers without asking for more does so instead of the 100. The client may then send its body or omit
    it, so that reply is the connection's last.
    Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.1.1
    """

    def __init__(self, cycle: RequestResponseCycle, is_stopping: Callable[[], bool]) -> None:
        """is_stopping: whether the server is shutting down and therefore keeps no connection alive."""
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
