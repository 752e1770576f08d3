"""No route that answers pages of any origin may ever read a cookie: a browser would send its visitor's along."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import headrace
from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.http.routes import MOUNTED, Route, assert_refused, send, stored
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


@pytest.mark.parametrize("route", MOUNTED, ids=str)
def test_a_request_with_nothing_but_cookies_is_refused(
    server: Server, nobody: Client, keys: Keys, client: Client, project: str, route: Route
) -> None:
    _, secret = keys.create(project, "live", "admin", None, clock_ms())
    for value in (cookies(secret), f"Authorization=Bearer {secret}", secret):
        assert_refused(send(nobody, route, headers={"Cookie": value, "Origin": ORIGIN}), route.dialect, 401)
    assert stored(client) == 0


def test_no_source_but_this_says_which_headers_no_parser_sees_names_a_cookie() -> None:
    """`get_cookie_values`, `cookies` and the header's name occur once: where it is taken out of what parsers see."""
    found = [
        f"{file.relative_to(SOURCE)}"
        for file in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(file.read_text()))
        if _names_a_cookie(node)
    ]
    assert found == ["http/ingest.py"]


def _names_a_cookie(node: Any) -> bool:
    if isinstance(node, ast.Attribute):
        return "cookie" in node.attr.lower()
    return isinstance(node, ast.Constant) and str(node.value).strip().lower() in ("cookie", "cookie2", "set-cookie")
