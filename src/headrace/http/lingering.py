"""Closes connections whose clients are still sending, so that they can read the last response. Discards everything that arrives.

Closing a socket while bytes are arriving resets the connection, and the reset deletes what the client has not read yet. So the
server ends only its own side and keeps reading for a while.
Source: https://www.rfc-editor.org/rfc/rfc9112#section-9.6
"""

import asyncio
from collections.abc import Callable

# Larger than any body whose sender might still want to read the refusal.
MAX_DROPPED_BYTES = 64 * 1024 * 1024
_MOST_S = 30.0
_SILENT_S = 5.0
_MOST_AT_SHUTDOWN_S = 1.0


class Lingering:
    """Ends the server's side at once, and the connection when the client does: within 30 s, 5 s of silence and 64 MiB."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop, *, stopping: bool) -> None:
        """stopping: the server is shutting down, so allow only a second."""
        self._transport = transport
        self._loop = loop
        self._left_bytes = MAX_DROPPED_BYTES
        self._heard = False
        self._ends_at = loop.time() + _MOST_S
        self._timer = loop.call_later(_SILENT_S, self._look_again)
        transport.write_eof()
        if stopping:
            self.end_soon()

    def drop(self, data: bytes) -> None:
        """Discard more bytes from the client."""
        self._heard = True
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._transport.abort()

    def end_soon(self) -> None:
        """Allow only a second from now on, because the server is shutting down."""
        self._timer.cancel()
        self._timer = self._loop.call_later(_MOST_AT_SHUTDOWN_S, self._transport.abort)

    def stop(self) -> None:
        """Stop the timers, because the connection is gone."""
        self._timer.cancel()

    def _look_again(self) -> None:
        if not self._heard or self._loop.time() > self._ends_at:
            self._transport.abort()
            return
        self._heard = False
        self._timer = self._loop.call_later(_SILENT_S, self._look_again)


class ReplyTransport:
    """The transport that replies are written to. Its `close` is replaced."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write  # not a wrapper method, because every reply passes through it
        self.is_closing = transport.is_closing
        self.close = close
