"""A POST of events takes a shorter way than other requests; nothing but the time it takes may show that."""

import asyncio
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import falcon
import falcon.asgi
import pytest
from falcon.testing import create_scope

from headrace.http import cors
from headrace.http.app import create_app
from headrace.http.body import Budget, Request, read_body
from headrace.http.direct import App
from headrace.http.scope import SEND_WHOLE
from headrace.http.unread import Unread
from headrace.model import errors
from tests.http.capabilities import bare_capabilities

Reply = tuple[int, dict[bytes, bytes], bytes]


class _Stub:
    def __init__(self, answer: Callable[[falcon.asgi.Request, falcon.asgi.Response], None]) -> None:
        self._answer = answer
        self.budgets: list[tuple[Budget, int]] = []  # and what was held of it meanwhile

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.allow_any_origin(req, resp)
        await self.take(req, resp)

    async def take(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        await read_body(req, 1000)
        assert isinstance(req, Request)
        self.budgets.append((req.budget, req.budget.held_bytes))
        self._answer(req, resp)


def _created(_req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
    resp.status = int(HTTPStatus.CREATED)
    resp.data = b'{"data":1}'


def _typed(_req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
    resp.content_type = "text/plain"
    resp.data = "ä".encode()


def _raise(error: Exception) -> Callable[[falcon.asgi.Request, falcon.asgi.Response], None]:
    def answer(_req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        raise error

    return answer


ANSWERS = {
    "a reply": _created,
    "a reply of another type": _typed,
    "an empty reply": lambda _req, _resp: None,
    "a refusal": _raise(errors.InvalidRequest("'name' is required.")),
    "a rate limit": _raise(errors.RateLimited(10, 60, 7)),
    "an error of Falcon's": _raise(falcon.HTTPInvalidHeader("no number", "Content-Length")),
    "a bug": _raise(ZeroDivisionError("by zero")),
}


def _app(stub: _Stub) -> App:
    app = create_app(bare_capabilities(), Unread(timeout_s=1, max_bytes=1))
    app.add_route("/api/v1/stub", stub)
    app.posters["/api/v1/stub"] = stub.take
    return app


def _post(app: App, path: str, body: bytes, headers: Mapping[str, str] = {}) -> Reply:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    asyncio.run(app(create_scope(path=path, method="POST", headers=dict(headers)), receive, send))
    start, end = sent
    return start["status"], dict(start["headers"]), end.get("body", b"")


def _counted(app: App) -> list[tuple[dict[str, str], float]]:
    return [
        (sample.labels, sample.value)
        for family in app.metrics.requests.collect()
        for sample in family.samples
        if sample.name.endswith("_count")
    ]


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://shop.example"}, {"Origin": "not one"}])
@pytest.mark.parametrize("what", ANSWERS)
def test_the_direct_way_and_the_long_way_say_the_same(what: str, headers: dict[str, str]) -> None:
    found: list[tuple[Reply, list[tuple[dict[str, str], float]]]] = []
    for path in ("/api/v1/stub", "/api/v1/stub/"):
        stub = _Stub(ANSWERS[what])
        app = _app(stub)
        found.append((_post(app, path, b"{}", headers), _counted(app)))
        [(budget, held)] = stub.budgets
        assert (held, budget.held_bytes) == (2, 0), "held while it is worked on, and no longer"
    assert found[0] == found[1]
    (status, _, _), counts = found[0]
    assert counts == [({"method": "POST", "route": "/api/v1/stub", "status": str(status)}, 1.0)]


def test_a_reply_is_sent_at_once_by_a_function_that_no_scope_keeps() -> None:
    """The function knows the scope. Left in it, it would be a cycle for each request, and the collector's pauses long."""
    sent: list[tuple[int, bytes, bytes]] = []

    def send_whole(status: int, lines: bytes, body: bytes) -> bool:
        sent.append((status, lines, body))
        return True

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(_message: dict[str, Any]) -> None:
        raise AssertionError

    scope = create_scope(path="/api/v1/stub", method="POST") | {SEND_WHOLE: send_whole}
    asyncio.run(_app(_Stub(_created))(scope, receive, send))
    [(status, lines, body)] = sent
    assert (status, b"content-type: application/json" in lines, body) == (201, True, b'{"data":1}')
    assert SEND_WHOLE not in scope


def test_the_short_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async def long_way(*_: object) -> None:
        raise AssertionError

    app = _app(_Stub(_created))
    monkeypatch.setattr(falcon.asgi.App, "__call__", long_way)
    assert _post(app, "/api/v1/stub", b"{}")[0] == 201


def test_a_body_over_the_limit_is_refused_on_both_ways() -> None:
    replies = [_post(_app(_Stub(_created)), path, b"x" * 1001) for path in ("/api/v1/stub", "/api/v1/stub/")]
    assert replies[0] == replies[1]
    assert replies[0][0] == 413
