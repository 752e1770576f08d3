"""What pages are told: who may read a reply, and what they may send."""

from types import SimpleNamespace
from typing import Any

import falcon.asgi
import pytest

from headrace.http import cors
from headrace.http.auth import shown_by, shown_by_image


def request(method: str = "POST", query: str = "", **headers: str) -> Any:
    given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    parameters = dict(pair.split("=") for pair in query.split("&")) if query else {}
    return SimpleNamespace(
        method=method,
        query_string=query,
        get_header=lambda name: given.get(name.lower()),
        get_param=parameters.get,
    )


def response() -> Any:
    return falcon.asgi.Response()


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("https://shop.example", "https://shop.example"),
        ("null", "null"),
        ("", "*"),
        ("https://a b", "*"),
        ("https://\u00e9", "*"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "*"),
    ],
)
def test_a_page_may_read_a_reply_by_its_own_origin_and_everybody_else_by_a_star(origin: str, allowed: str) -> None:
    resp = response()
    cors.allow_any_origin(request(origin=origin), resp)
    assert resp.get_header("Access-Control-Allow-Origin") == allowed
    assert resp.get_header("Access-Control-Allow-Credentials") == (None if allowed == "*" else "true")
    assert resp.get_header("Vary") == "Origin"
    assert "retry-after" in resp.get_header("Access-Control-Expose-Headers")
    assert cors.is_from_page(request(origin=origin)) is bool(origin)


def test_a_preflight_allows_what_a_page_asks_for_as_far_as_that_is_a_header() -> None:
    resp = response()
    asked = "X-Custom, content-type, bad name, " + "x" * 101 + ", " + "y" * 100
    req = request("OPTIONS", origin="https://a.example", access_control_request_headers=asked)
    cors.answer_preflight(req, resp, "POST, OPTIONS")
    names = resp.get_header("Access-Control-Allow-Headers").split(", ")
    assert names == ["authorization", "content-type", "x-api-key", "idempotency-key", "x-custom", "y" * 100]
    assert resp.status_code == 204
    assert resp.get_header("Access-Control-Max-Age") == "86400"
    assert resp.get_header("Allow") == resp.get_header("Access-Control-Allow-Methods") == "POST, OPTIONS"
    many = ",".join(f"h{number}" for number in range(200))
    cors.answer_preflight(request("OPTIONS", access_control_request_headers=many), resp := response(), "POST")
    assert len(resp.get_header("Access-Control-Allow-Headers").split(", ")) == 104


def test_a_project_named_in_a_header_counts_only_where_no_events_are_taken() -> None:
    req = request(
        headrace_project="q", headrace_mode="test", authorization="Bearer a", x_api_key="b", query="api_key=c"
    )
    for scope in ("query", "admin"):
        shown = shown_by(req, scope)
        assert (shown.project, shown.mode) == ("q", "test")
    shown = shown_by(req, "ingest", "in the body")
    assert (shown.project, shown.mode, shown.in_body) == ("", "", "in the body")
    assert (shown.authorization, shown.api_key, shown.in_query) == ("Bearer a", "b", "c")


def test_who_acts_is_told_in_a_header_only_where_an_admin_acts() -> None:
    req = request(headrace_user="ada")
    assert shown_by(req, "admin").user == "ada"
    assert shown_by(request(), "admin").user == ""
    for scope in ("query", "ingest"):
        assert shown_by(req, scope).user == ""


@pytest.mark.parametrize(
    ("headers", "origin"),
    [
        ({"origin": "https://a.example"}, "https://a.example"),
        ({"referer": "https://a.example:8443/page?x=1"}, "https://a.example:8443"),
        ({"origin": "https://a.example", "referer": "https://b.example/"}, "https://a.example"),
        ({"referer": "https://[bad/"}, "null"),
        ({}, ""),
    ],
)
def test_an_image_counts_as_a_post_from_the_page_that_holds_it(headers: dict[str, str], origin: str) -> None:
    shown = shown_by_image(request("GET", **headers))
    assert (shown.method, shown.origin) == ("POST", origin)
