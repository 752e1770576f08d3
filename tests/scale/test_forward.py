"""What a gateway passes on, to a worker that is a few lines here."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from headrace.dialects.route import Ask
from headrace.dialects.table import DIALECTS
from headrace.http.addresses import Addresses
from headrace.http.forward import Forwarding, is_for_worker
from headrace.http.problems import Problems
from headrace.model.settings import Settings


class App:
    """Stands in for a gateway's own application."""

    posters = {"/api/v1/events": None}

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.observed: list[tuple[str, str, int]] = []
        self.metrics = self

    def observe(self, method: str, route: str, status: int, _started: float) -> None:
        self.observed.append((method, route, status))

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.seen.append((scope["method"], scope["path"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"own"})


class Worker:
    """Answers each request with `reply`, and keeps what it got."""

    def __init__(self, reply: bytes) -> None:
        self.reply = reply
        self.got = b""

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.got = head
        if b"content-length: " in head:
            self.got += await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        elif b"transfer-encoding: chunked" in head:
            self.got += await reader.readuntil(b"0\r\n\r\n")
        writer.write(self.reply)
        await writer.drain()
        writer.close()


def asked(
    worker: Worker | None, ask: Callable[[httpx.AsyncClient], Any], settings: Settings | None = None
) -> tuple[App, Any]:
    """What a client gets of a gateway in front of the worker."""

    async def main() -> tuple[App, Any]:
        app, url = App(), ""
        listening = None
        if worker is not None:
            listening = await asyncio.start_server(worker, "127.0.0.1", 0)
            url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        addresses = Addresses(settings or Settings())
        gateway = Forwarding(app, DIALECTS, Problems(DIALECTS), addresses, lambda: url)  # pyright: ignore[reportArgumentType]
        transport = httpx.ASGITransport(gateway, client=("192.0.2.7", 1))  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://events.example.com") as client:
            answer = await ask(client)
        if listening is not None:
            listening.close()
        return app, answer

    return asyncio.run(main())


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\nETag: x\r\n\r\nok"


def test_a_request_and_its_reply_pass_as_they_are_and_the_worker_learns_who_asked() -> None:
    worker = Worker(OK)
    forged = {"X-Forwarded-For": "203.0.113.1", "Forwarded": "for=203.0.113.1", "X-Forwarded-Host": "evil.example"}
    app, answer = asked(
        worker,
        lambda client: client.put(
            "/api/v1/rules?dry_run=1", content=b"facts: []", headers={"Authorization": "Bearer k", **forged}
        ),
    )
    assert (answer.status_code, answer.text, answer.headers["etag"]) == (200, "ok", "x")
    assert "connection" not in answer.headers
    head, _, body = worker.got.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"PUT /api/v1/rules?dry_run=1 HTTP/1.1"
    assert body == b"facts: []"
    assert b"authorization: Bearer k" in lines
    assert b"host: events.example.com" in lines
    assert [line for line in lines if b"forwarded" in line] == [
        b"x-forwarded-for: 192.0.2.7",
        b"x-forwarded-proto: http",
        b"x-forwarded-host: events.example.com",
    ]
    assert app.seen == []
    assert app.observed == [("PUT", "forwarded", 200)]


def test_whom_a_trusted_proxy_names_is_passed_on() -> None:
    worker = Worker(OK)
    told = {"X-Forwarded-For": "198.51.100.9", "X-Forwarded-Proto": "https"}
    asked(worker, lambda client: client.get("/api/v1/rules", headers=told), Settings(trusted_proxies="192.0.2.0/24"))
    assert b"x-forwarded-for: 198.51.100.9\r\nx-forwarded-proto: https\r\n" in worker.got


def test_bodies_of_unknown_length_pass_both_ways() -> None:
    worker = Worker(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")

    async def pieces() -> AsyncIterator[bytes]:
        yield b"one"
        yield b"two"

    _, answer = asked(worker, lambda client: client.post("/api/v1/import", content=pieces()))
    assert (answer.status_code, answer.text) == (201, "abcde")
    assert worker.got.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    until_it_ends = Worker(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
    _, answer = asked(until_it_ends, lambda client: client.get("/api/v1/live"))
    assert answer.text == "data: 1\n\n"


def test_a_reply_to_head_has_no_body_and_nobody_waits_for_one() -> None:
    worker = Worker(b"HTTP/1.1 200 OK\r\nContent-Length: 4096\r\n\r\n")
    _, answer = asked(worker, lambda client: client.head("/api/v1/rules"))
    assert (answer.status_code, answer.headers["content-length"]) == (200, "4096")


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\nContent-Le", b"nonsense\r\n\r\n"])
def test_a_worker_that_gives_no_reply_is_a_503_in_the_dialects_form(reply: bytes) -> None:
    app, answer = asked(Worker(reply), lambda client: client.post("/v1/admin/events/replay", json={}))
    assert answer.status_code == 503
    assert "see whether it did what was asked" in answer.json()["error"]
    assert answer.headers["retry-after"] == "5"
    assert app.observed == [("POST", "forwarded", 503)]


def test_without_a_worker_there_is_a_503() -> None:
    _, answer = asked(None, lambda client: client.get("/console/"))
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_events_queries_and_unknown_paths_are_the_gateways_own() -> None:
    own = [
        ("POST", "/api/v1/events"),
        ("GET", "/api/v1/events/count"),
        ("POST", "/api/v1/query"),
        ("GET", "/api/v1/participants/u"),
        ("GET", "/api/v1/export"),
        ("OPTIONS", "/api/v1/rules"),
        ("POST", "/api/v1/rules"),
        ("GET", "/api/v1/rules/versions"),
        ("GET", "/ready"),
        ("GET", "/consoles"),
    ]

    async def ask(client: httpx.AsyncClient) -> list[str]:
        return [(await client.request(method, path)).text for method, path in own]

    app, answers = asked(None, ask)
    assert answers == ["own"] * len(own)
    assert app.seen == own


def test_whatever_an_admin_does_and_whatever_looks_into_the_worker_is_passed_on() -> None:
    worker = Worker(OK)
    passed = [
        ("DELETE", "/api/v1/users/a%2Fb"),
        ("DELETE", "/api/v1/users/a%2Fb/aliases/c/"),
        ("GET", "/api/v1/status"),
        ("GET", "/api/v1/events/evt_1/trace"),
        ("POST", "/console/api/session"),
        ("GET", "/api/v1/webhooks/1/deliveries/2"),
    ]

    async def ask(client: httpx.AsyncClient) -> list[str]:
        return [(await client.request(method, path)).text for method, path in passed]

    _, answers = asked(worker, ask)
    assert answers == ["ok"] * len(passed)
    admin = [route for dialect in DIALECTS for route in dialect.routes if route.scope == "admin"]
    assert len(admin) > 30
    own = [route for route in admin if not is_for_worker(route)]
    assert all(isinstance(route.does, Ask) for route in own), "a gateway only reads the store for an admin"
