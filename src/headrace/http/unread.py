"""Limits unread replies: a time limit for each, and a limit in bytes for all. Knows no route.

A reply stays in memory until its client reads it. TCP alone would let a client postpone that forever.
"""

import asyncio

import structlog

from headrace.model.errors import Unavailable

_log = structlog.get_logger("headrace")
_LEAST_TAKEN_BYTES = 256 * 1024


class Unread:
    """A server's connections with unread replies. `watch` and `forget` are for the event loop's thread.

    timeout_s: the time within which a client must read 256 KiB of its reply, or the rest of it. max_bytes: of all unread replies.
    """

    def __init__(self, *, timeout_s: float, max_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._waiting: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def watch(self, transport: asyncio.Transport, /) -> None:
        """Start watching: the client has not read all of its reply at once."""
        self.forget(transport)
        left = transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._waiting[transport] = loop.call_later(self._timeout_s, self._look_again, transport, left)

    def forget(self, transport: asyncio.Transport, /) -> None:
        """Stop watching: the client has read everything, or is gone."""
        if timer := self._waiting.pop(transport, None):
            timer.cancel()

    def _look_again(self, transport: asyncio.Transport, before: int) -> None:
        if before - transport.get_write_buffer_size() >= _LEAST_TAKEN_BYTES:
            self.watch(transport)
        else:
            self.forget(transport)
            _log.warning("reply_not_read", left_bytes=transport.get_write_buffer_size())
            transport.abort()

    def bytes(self) -> int:
        """The size of all unread replies. Any thread may ask."""
        return sum(transport.get_write_buffer_size() for transport in tuple(self._waiting))

    def require_room(self) -> None:
        """Raises Unavailable while too much is unread for another large reply. Any thread may ask."""
        waiting = self.bytes()
        if waiting > self._max_bytes:
            raise Unavailable(f"Clients have not yet read {waiting} bytes of responses.", retry_after_s=5)
