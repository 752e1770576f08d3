"""No route that answers pages of any origin may ever read a cookie: a browser would send its visitor's along."""

import ast
import asyncio
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import pytest
from falcon.testing import create_asgi_req

import headrace
from headrace.assembly.admission import Admitted
from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.dialects.route import Dialect, Ingest
from headrace.dialects.route import Route as TableRoute
from headrace.http.ingest import EventTaker, Served
from headrace.model.batch import Batch, Context
from headrace.model.entries import Receipt
from headrace.model.event import Tenant
from headrace.model.settings import Settings
from tests.cases import case
from tests.http.routes import MOUNTED, assert_refused, send, stored
from tests.server import Client, Server

ORIGIN = "https://app.example"
SOURCE = Path(headrace.__file__).parent


@pytest.fixture(scope="module")
def nobody(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


def cookies(secret: str) -> str:
    names = ("session", "key", "api_key", "Authorization", "X-API-Key", "token", "headrace")
    return "; ".join(f"{name}={secret}" for name in names)


def test_a_request_with_nothing_but_cookies_is_refused(
    nobody: Client, keys: Keys, client: Client, project: str
) -> None:
    _, secret = keys.create(project, "live", "admin", None, clock_ms())
    for route in MOUNTED:
        for value in (cookies(secret), f"Authorization=Bearer {secret}", secret):
            with case(route, value):
                assert_refused(send(nobody, route, headers={"Cookie": value, "Origin": ORIGIN}), route.dialect, 401)
    assert stored(client) == 0


def test_a_parser_that_looks_at_headers_is_given_neither_cookies_nor_keys() -> None:
    seen: list[str] = []

    def parse(_body: bytes, context: Context) -> Batch:
        seen.extend(name for name, _ in context.headers)
        return Batch([])

    async def accept(_items: object) -> list[Receipt]:
        return []

    gate = SimpleNamespace(admit=AsyncReturn(Admitted(Tenant("p", "live"))))
    intake, counts = SimpleNamespace(accept=accept), SimpleNamespace(count_batch=lambda *_: None)
    dialect = Dialect("toy", lambda _error, _status: b"")
    route = TableRoute("GET", "/toy", "ingest", "native", Ingest(parse, lambda *_: b"", whole=True))
    anything: Any = (gate, intake, Settings(), counts, Served(route, dialect))
    headers = {"Cookie": "a=b", "Authorization": "Bearer x", "X-API-Key": "x", "Ce-Id": "1"}
    asyncio.run(EventTaker(*anything).respond(create_asgi_req(headers=headers), falcon.asgi.Response()))
    assert "ce-id" in seen
    assert not {"cookie", "authorization", "x-api-key"} & set(seen)


class AsyncReturn:
    """Called and awaited, it gives one value."""

    def __init__(self, value: Any) -> None:
        self._value = value

    async def __call__(self, *_: object) -> Any:
        return self._value


def test_no_source_but_this_says_which_headers_no_parser_sees_names_a_cookie() -> None:
    """`get_cookie_values`, `cookies` and the header's name occur where it is taken out of what parsers see, and in the console.

    The console's own routes are fenced: see tests/http/test_console_fence.py.
    """
    found = [
        f"{file.relative_to(SOURCE)}"
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if _names_a_cookie(node)
    ]
    assert {each for each in found if not each.startswith("http/console_")} == {"http/ingest.py"}


def _names_a_cookie(node: Any) -> bool:
    if isinstance(node, ast.Attribute):
        return "cookie" in node.attr.lower()
    return isinstance(node, ast.Constant) and str(node.value).strip().lower() in ("cookie", "cookie2", "set-cookie")
