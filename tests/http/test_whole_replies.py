"""A reply that is sent at once is what uvicorn would have sent, and leaves the connection as uvicorn would have left it."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any, cast

import pytest
from falcon.testing import create_scope
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from headrace.http.whole_replies import lines_of, send_whole

FIELDS = [(b"content-type", b"application/json"), (b"vary", b"Origin")]
USUAL = [(b"date", b"Sun, 29 Nov 2026 13:00:00 GMT"), (b"x-content-type-options", b"nosniff")]


class _Connection:
    """What a cycle knows of its connection."""

    def __init__(self, *, keep_alive: bool = True, write_paused: bool = False, access_log: bool = False) -> None:
        self.written = b""
        self.closed = False
        self.answered = 0
        self.flow = SimpleNamespace(write_paused=write_paused)
        self.cycle = RequestResponseCycle(
            scope=cast("Any", create_scope(method="POST")),
            transport=cast("Any", self),
            flow=cast("Any", self.flow),
            logger=logging.getLogger("test"),
            access_logger=logging.getLogger("test"),
            access_log=access_log,
            default_headers=USUAL,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=keep_alive,
            on_response=self._answered,
        )

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def _answered(self) -> None:
        self.answered += 1

    def state(self) -> dict[str, Any]:
        head, _, body = self.written.partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        cycle = self.cycle
        flags = (cycle.response_started, cycle.response_complete, cycle.keep_alive, cycle.waiting_for_100_continue)
        rest = (self.closed, self.answered, cycle.message_event.is_set())
        return {"first": first, "fields": sorted(lines), "body": body, "flags": flags, "rest": rest}


@pytest.mark.parametrize("keep_alive", [True, False])
@pytest.mark.parametrize(("status", "body"), [(201, b'{"id":1}'), (400, b""), (503, "ä".encode())])
def test_it_is_what_uvicorn_sends(status: int, body: bytes, *, keep_alive: bool) -> None:
    async def by_uvicorn() -> dict[str, Any]:
        connection = _Connection(keep_alive=keep_alive)
        fields = [*FIELDS, (b"content-length", b"%d" % len(body))]
        await connection.cycle.send({"type": "http.response.start", "status": status, "headers": fields})
        await connection.cycle.send({"type": "http.response.body", "body": body})
        return connection.state()

    async def at_once() -> dict[str, Any]:
        connection = _Connection(keep_alive=keep_alive)
        assert send_whole(connection.cycle, status, lines_of(FIELDS), body)
        return connection.state()

    assert asyncio.run(at_once()) == asyncio.run(by_uvicorn())


@pytest.mark.parametrize("why", ["write_paused", "access_log", "disconnected", "response_started"])
def test_nothing_is_sent_where_uvicorn_has_more_to_do(why: str) -> None:
    async def at_once() -> None:
        told = {why: True} if why in ("write_paused", "access_log") else {}
        connection = _Connection(**told)
        if not told:
            setattr(connection.cycle, why, True)
        assert not send_whole(connection.cycle, 201, lines_of(FIELDS), b"{}")
        assert (connection.written, connection.answered) == (b"", 0)

    asyncio.run(at_once())


@pytest.mark.parametrize("field", [(b"x", b"1\r\nSet-Cookie: a"), (b"x\n", b"1"), (b"x", b"1\r")])
def test_no_header_becomes_two(field: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="line break"):
        lines_of([*FIELDS, field])
