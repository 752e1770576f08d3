"""The fence around the console's cookie: what is inside answers its own page alone, and what is outside reads no cookie."""

import re
from collections.abc import Iterator
from functools import cache

import httpx
import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.http.app import create_app
from headrace.http.console_paths import API
from headrace.http.unread import Unread
from tests.console.pages import CHANGE, SAME, Page
from tests.http.capabilities import bare_capabilities
from tests.http.conftest import nothing_unexpected
from tests.http.routes import MOUNTED, UNKNOWN_ID
from tests.server import Server

__all__ = ["nothing_unexpected"]


@cache
def calls() -> list[tuple[str, str]]:
    import falcon.inspect

    app = create_app(bare_capabilities(), Unread(timeout_s=1, max_bytes=1))
    return sorted(
        (method.method, re.sub(r"{[^}]*}", UNKNOWN_ID, route.path))
        for route in falcon.inspect.inspect_routes(app)
        if route.path.startswith(f"{API}/")
        for method in route.methods
        if not method.internal and method.method not in ("HEAD", "OPTIONS")
    )


@pytest.fixture(scope="module")
def page(server: Server, keys: Keys) -> Iterator[Page]:
    """A page that has logged in with an admin's key."""
    _, secret = keys.create("fence", "live", "admin", None, clock_ms())
    with Page(server.url) as page:
        assert page.log_in(secret).status_code == 201
        yield page


def test_every_route_that_asks_or_administers_is_there_once_more() -> None:
    for each in ("/api/v1/events", "/api/v1/events/count", "/api/v1/catalog", "/api/v1/rules", "/api/v1/live"):
        assert ("GET", f"/console{each}") in calls()
    assert ("GET", "/console/api/v1/admin/replays") in calls()
    assert ("POST", "/console/api/v1/events") in calls()


ELSEWHERE = [
    {},  # no browser that this serves says nothing
    {"Sec-Fetch-Site": "same-site"},  # a page on another port of this host: SameSite=Strict lets its cookie through
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"X-Headrace-Console": "1"},
]


@pytest.mark.parametrize("headers", ELSEWHERE, ids=str)
def test_only_the_consoles_own_page_may_call(page: Page, headers: dict[str, str]) -> None:
    for method, path in calls():
        given = ({} if method == "GET" else {"Content-Type": "application/json", "X-Headrace-Console": "1"}) | headers
        response = page.request(method, path, headers=given, content=b"{}" if method != "GET" else None)
        assert response.status_code == 403, (headers, response.text)
        assert response.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "headers",
    [
        *({name: value for name, value in CHANGE.items() if name != left_out} for left_out in list(CHANGE)[1:]),
        {**CHANGE, "Content-Type": "text/plain"},
        {**CHANGE, "Content-Type": "application/x-www-form-urlencoded"},
        {**CHANGE, "Content-Type": "multipart/form-data; boundary=x"},
    ],
    ids=str,
)
def test_a_change_must_look_like_no_form_of_a_page(page: Page, headers: dict[str, str]) -> None:
    for method, path in calls():
        if method != "GET":
            assert page.request(method, path, headers=headers, content=b"{}").status_code == 403, (method, path)


@pytest.mark.parametrize("shown", ["nothing", "Authorization", "X-API-Key"])
def test_no_call_goes_without_a_session_and_a_key_is_none(server: Server, keys: Keys, project: str, shown: str) -> None:
    _, secret = keys.create(project, "live", "admin", None, clock_ms())
    more = {} if shown == "nothing" else {shown: f"Bearer {secret}" if shown == "Authorization" else secret}
    with Page(server.url) as nobody:
        for method, path in calls():
            if (method, path) == ("POST", f"{API}/session"):
                continue
            headers = SAME if method == "GET" else CHANGE
            response = nobody.request(
                method,
                path,
                headers=headers | more,
                params={"api_key": secret},
                content=b"{}" if method != "GET" else None,
            )
            assert response.status_code == 401, (method, path, response.text)


def test_no_preflight_is_answered(server: Server, page: Page) -> None:
    asked = {"Origin": server.url, "Access-Control-Request-Method": "POST", "Sec-Fetch-Site": "same-origin"}
    for path in sorted({path for _, path in calls()} | {"/console", "/console/assets/x.js", "/console/x/y"}):
        assert page.options(path, headers=asked).status_code == 405, path


def test_even_what_is_not_there_is_shown_to_no_other_origin(server: Server) -> None:
    with Page(server.url) as page:
        for path in ("/console/api/nothing", "/console/assets/nothing.js", "/console/api/v1/nothing/at/all"):
            response = page.get(path, headers={"Origin": "https://evil.example"})
            assert response.status_code == 404
            assert response.headers["content-type"] == "application/problem+json"


def test_the_cookie_opens_nothing_outside(server: Server, page: Page) -> None:
    [cookie] = page.cookies.jar
    assert (cookie.path, cookie.secure) == ("/console", False)
    headers = {**SAME, "Cookie": f"{cookie.name}={cookie.value}", "Content-Type": "application/json"}
    with httpx.Client(base_url=server.url, trust_env=False, verify=False) as client:
        for route in MOUNTED:
            assert client.request(route.method, route.path, headers=headers, content=b"{}").status_code == 401, route


def test_the_cookie_is_for_the_console_alone_and_no_script_sees_it(server: Server, keys: Keys, project: str) -> None:
    _, secret = keys.create(project, "live", "admin", None, clock_ms())
    with Page(server.url) as page:
        [cookie] = page.log_in(secret).headers.get_list("set-cookie")
        attributes = set(cookie.split("; ")[1:])
        assert attributes == {"Path=/console", "Max-Age=604800", "HttpOnly", "SameSite=Strict"}
        assert re.fullmatch(r"headrace_[0-9a-f]{8}=[A-Za-z0-9_-]{43}", cookie.split("; ")[0])


def test_a_browser_that_says_only_its_origin_may_call_from_its_own(server: Server, page: Page) -> None:
    assert page.get("/console/api/session", headers={"Origin": server.url}).status_code == 200


def test_a_cookie_that_was_planted_beside_the_own_one_opens_nothing(page: Page) -> None:
    [cookie] = page.cookies.jar
    both = {**SAME, "Cookie": f"{cookie.name}=planted; {cookie.name}={cookie.value}"}
    page.cookies.clear()
    assert page.get("/console/api/session", headers=both).status_code == 401


def test_the_page_is_the_same_for_everybody_and_says_where_its_scripts_may_come_from(server: Server) -> None:
    with Page(server.url) as page:
        for path in ("/console", "/console/shop/live/events/evt_1"):
            response = page.get(path)
            assert response.status_code in (200, 503)  # without a build: what to run
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "require-trusted-types-for 'script'" in policy
            assert "unsafe" not in policy
            assert "set-cookie" not in response.headers


def test_a_browser_is_led_to_the_console_and_nobody_else(server: Server) -> None:
    with Page(server.url) as page:
        led = page.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
        assert (led.status_code, led.headers["location"]) == (303, "/console")
        assert page.get("/").status_code == 200
