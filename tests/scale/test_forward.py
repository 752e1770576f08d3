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


def test_a_worker_that_cannot_be_reached_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(_host: str, _port: int) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("headrace.http.forward.asyncio.open_connection", refuse)
    app, answer = asked(Worker(OK), lambda client: client.get("/api/v1/rules"))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "cannot be reached" in answer.text
    assert app.observed == [("GET", "forwarded", 503)]


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
        ("PUT", "/api/v1/%72ules"),
        ("GET", "/api/v1/%73tatus/"),
        ("DELETE", "/api/v1/user%73/a%2Fb"),
    ]

    async def ask(client: httpx.AsyncClient) -> list[str]:
        return [(await client.request(method, path)).text for method, path in passed]

    _, answers = asked(worker, ask)
    assert answers == ["ok"] * len(passed)
    admin = [route for dialect in DIALECTS for route in dialect.routes if route.scope == "admin"]
    assert len(admin) > 30
    own = [route for route in admin if not is_for_worker(route)]
    assert all(isinstance(route.does, Ask) for route in own), "a gateway only reads the store for an admin"


class Pipe:
    """Stands in for the connection to a worker: takes no more of a request's body until `opened` is set."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.opened = asyncio.Event()
        self.written = b""
        self.is_closed = False

    async def connect(self, _host: str, _port: int) -> "tuple[asyncio.StreamReader, Pipe]":
        return self.reader, self

    def write(self, data: bytes) -> None:
        self.written += data

    async def drain(self) -> None:
        await self.opened.wait()

    def close(self) -> None:
        self.is_closed = True


def uploading(pipe: Pipe, receive: Callable[[], Any], send: Callable[[Any], Any]) -> Any:
    """A gateway's application, asked to pass on a request whose body comes by `receive`."""
    gateway = Forwarding(App(), DIALECTS, Problems(DIALECTS), Addresses(Settings()), lambda: "http://w:1")  # pyright: ignore[reportArgumentType]
    headers = [(b"host", b"h"), (b"content-length", b"999")]
    path = {"path": "/api/v1/rules", "raw_path": b"/api/v1/rules", "query_string": b""}
    scope = {"type": "http", "method": "PUT", "scheme": "http", "http_version": "1.1", "headers": headers, **path}
    return gateway(scope | {"client": ("192.0.2.7", 1), "server": ("h", 80)}, receive, send)


async def turn_a_while() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_gateway_reads_no_more_of_a_body_than_its_worker_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        pipe, read, sent = Pipe(), list[int](), list[Any]()
        monkeypatch.setattr("headrace.http.forward.asyncio.open_connection", pipe.connect)

        async def receive() -> Any:
            await asyncio.sleep(0)
            read.append(1)
            return {"type": "http.request", "body": b"x" * 333, "more_body": len(read) < 3}

        async def send(message: Any) -> None:
            sent.append(message)

        passing = asyncio.ensure_future(uploading(pipe, receive, send))
        await turn_a_while()
        assert len(read) == 1, "the worker has not taken that yet"
        pipe.opened.set()
        await turn_a_while()
        assert pipe.written.endswith(b"\r\n\r\n" + b"x" * 999)
        pipe.reader.feed_data(OK)
        await passing
        assert [each.get("status") or each.get("body") for each in sent] == [200, b"ok", b""]
        assert pipe.is_closed

    asyncio.run(main())


def test_a_refusal_ends_the_exchange_before_the_body_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        pipe, given_up, sent = Pipe(), list[bool](), list[Any]()
        monkeypatch.setattr("headrace.http.forward.asyncio.open_connection", pipe.connect)

        async def receive() -> Any:
            try:
                await asyncio.Event().wait()  # a client that sends nothing more
            finally:
                given_up.append(True)

        async def send(message: Any) -> None:
            sent.append(message)

        passing = asyncio.ensure_future(uploading(pipe, receive, send))
        await turn_a_while()
        pipe.reader.feed_data(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await passing
        assert sent[0]["status"] == 413
        assert pipe.is_closed
        await turn_a_while()
        assert given_up == [True], "nobody waits for the rest"

    asyncio.run(main())


def test_a_client_that_hangs_up_ends_the_workers_request_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        pipe = Pipe()
        monkeypatch.setattr("headrace.http.forward.asyncio.open_connection", pipe.connect)

        async def receive() -> Any:
            return {"type": "http.disconnect"}

        async def send(_message: Any) -> None: ...

        passing = asyncio.ensure_future(uploading(pipe, receive, send))
        await turn_a_while()
        assert pipe.is_closed
        pipe.reader.feed_eof()  # as closing does to a real one
        await passing

    asyncio.run(main())


@pytest.mark.parametrize("rest", [b"", b"3\r\nabc\r\n", b"nonsense\r\n"])
def test_a_reply_that_breaks_off_is_not_passed_on_as_a_whole_one(monkeypatch: pytest.MonkeyPatch, rest: bytes) -> None:
    """The server that runs the gateway breaks the client's connection when an application ends before its last message."""

    async def main() -> None:
        pipe, sent = Pipe(), list[Any]()
        pipe.opened.set()
        monkeypatch.setattr("headrace.http.forward.asyncio.open_connection", pipe.connect)

        async def receive() -> Any:
            return {"type": "http.request", "body": b"x" * 999, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        passing = asyncio.ensure_future(uploading(pipe, receive, send))
        await turn_a_while()
        pipe.reader.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + rest)
        pipe.reader.feed_eof()
        await passing
        assert sent[0]["status"] == 200
        assert all(each["more_body"] for each in sent[1:])

    asyncio.run(main())
