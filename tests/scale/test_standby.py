"""What a worker answers while another one is active, and once it is active itself."""

import asyncio
from typing import Any

import httpx
import pytest

from headrace.dialects.table import DIALECTS
from headrace.http.problems import Problems
from headrace.http.standby import Standby


def asked(standby: Standby, method: str, path: str) -> httpx.Response:
    async def main() -> httpx.Response:
        transport = httpx.ASGITransport(standby)
        async with httpx.AsyncClient(transport=transport, base_url="http://w") as client:
            return await client.request(method, path)

    return asyncio.run(main())


@pytest.fixture
def standby() -> Standby:
    return Standby(Problems(DIALECTS))


@pytest.mark.parametrize(
    ("path", "kind", "text"),
    [
        ("/health", "application/json", '{"status":"ok"}'),
        ("/ready", "application/json", '{"status":"ready","role":"standby"}'),
        ("/ready/", "application/json", '{"status":"ready","role":"standby"}'),
        ("/metrics", "text/plain", 'headrace_role{role="standby"} 1.0\n'),
    ],
)
def test_a_worker_that_stands_by_says_that_it_lives_and_what_it_does(
    standby: Standby, path: str, kind: str, text: str
) -> None:
    answer = asked(standby, "GET", path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(kind)
    assert answer.text.endswith(text)
    assert answer.headers["content-length"] == str(len(answer.content))
    head = asked(standby, "HEAD", path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers == answer.headers


@pytest.mark.parametrize(("method", "path"), [("POST", "/api/v1/events"), ("GET", "/api/v1/rules"), ("POST", "/ready")])
def test_it_leaves_everything_else_to_the_active_one(standby: Standby, method: str, path: str) -> None:
    answer = asked(standby, method, path)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert "another one is active" in answer.text
    assert answer.headers["content-length"] == str(len(answer.content))


def test_it_serves_everything_once_it_is_active(standby: Standby) -> None:
    async def server(scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    standby.active = server
    answers = [asked(standby, "GET", path) for path in ("/health", "/api/v1/rules")]
    assert [(each.status_code, each.text) for each in answers] == [(418, "/health"), (418, "/api/v1/rules")]
