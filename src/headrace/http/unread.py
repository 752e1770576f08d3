"""Replies that their clients have not taken yet: bounded in time for each, and in bytes for all. Knows no route.

A reply waits in memory for as long as its client does not read it, which TCP alone would let it do for ever.
"""

import asyncio

import structlog

from headrace.model.errors import Unavailable

_log = structlog.get_logger("headrace")
_LEAST_TAKEN_BYTES = 256 * 1024


class Unread:
    """The connections whose replies wait, of one server. `watch` and `forget` are for the event loop's thread.

    timeout_s: within this a client has to take 256 KiB of its reply, or the rest of it. max_bytes: of all that wait.
    """

    def __init__(self, *, timeout_s: float, max_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._waiting: dict[asyncio.Transport, asyncio.TimerHandle] = {}

    def watch(self, transport: asyncio.Transport, /) -> None:
        """More waits for this client than it has taken at once."""
        self.forget(transport)
        left = transport.get_write_buffer_size()
        loop = asyncio.get_running_loop()
        self._waiting[transport] = loop.call_later(self._timeout_s, self._look_again, transport, left)

    def forget(self, transport: asyncio.Transport, /) -> None:
        """The client has taken what there was, or is gone."""
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
        """How much waits. Any thread may ask."""
        return sum(transport.get_write_buffer_size() for transport in tuple(self._waiting))

    def require_room(self) -> None:
        """Any thread may ask. Raises Unavailable while too much waits for another large reply."""
        waiting = self.bytes()
        if waiting > self._max_bytes:
            raise Unavailable(f"Clients have not yet read {waiting} bytes of responses.", retry_after_s=5)
