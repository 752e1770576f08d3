"""Sessions: what opens one, what one opens, and what ends it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from tests.console.pages import Page, of
from tests.http.conftest import MakeServer, make_server
from tests.server import Server

__all__ = ["make_server"]


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    with Page(server.url) as page:
        yield page


def made(keys: Keys, project: str, mode: str = "live", scopes: str = "ingest query admin") -> str:
    return keys.create(project, mode, "flux", frozenset(scopes.split()), clock_ms())[1]  # type: ignore[arg-type]


def test_a_key_that_may_query_opens_what_it_may_do_and_no_more(page: Page, keys: Keys, project: str) -> None:
    assert page.log_in(made(keys, project, scopes="query")).status_code == 201
    session = page.ask("/console/api/session").json()["data"]
    assert session["operator"] is False
    assert [(each["project"], each["mode"], each["scopes"]) for each in session["opens"]] == [
        (project, "live", ["query"])
    ]
    assert page.ask("/console/api/v1/events").status_code == 200
    refused = page.ask("/console/api/v1/rules")
    assert refused.status_code == 403
    assert "headrace keys create" in refused.json()["detail"]
    assert page.change("PUT", "/console/api/v1/rules", {}).status_code == 403
    assert page.change("POST", "/console/api/v1/events", {"name": "x"}).status_code == 403


@pytest.mark.parametrize("scopes", ["ingest", "admin"])
def test_a_key_that_may_not_query_opens_nothing(page: Page, keys: Keys, project: str, scopes: str) -> None:
    refused = page.log_in(made(keys, project, scopes=scopes))
    assert refused.status_code == 403
    assert "'query'" in refused.json()["detail"]
    assert not list(page.cookies.jar)
    assert page.ask("/console/api/session").status_code == 401


@pytest.mark.parametrize("body", [{}, {"key": ""}, {"key": "a", "code": "b"}, {"kee": "a"}, [], {"key": 1}, None])
def test_a_login_that_is_none_is_a_bad_request(page: Page, body: object) -> None:
    assert page.change("POST", "/console/api/session", body).status_code == 400


def test_an_unknown_key_and_an_unknown_code_are_unauthorized(page: Page) -> None:
    assert page.log_in("sk_live_nothing").status_code == 401
    assert page.change("POST", "/console/api/session", {"code": "nothing"}).status_code == 401


def test_a_session_with_two_keys_opens_both_projects_and_neither_sees_the_other(
    page: Page, keys: Keys, project: str
) -> None:
    other = f"{project}-other"
    page.log_in(made(keys, project))
    first = next(iter(page.cookies.jar)).value
    page.log_in(made(keys, other, "test"))
    assert next(iter(page.cookies.jar)).value != first  # a planted token must not become one that opens more
    for name, mode in ((project, "live"), (other, "test")):
        sent = page.change("POST", "/console/api/v1/events", {"name": f"of {name}"}, headers=of(name, mode))
        assert sent.status_code == 201
    for name, mode in ((project, "live"), (other, "test")):
        [event] = page.ask("/console/api/v1/events", headers=of(name, mode)).json()["data"]
        assert event["name"] == f"of {name}"
    for name, mode in ((project, "test"), (other, "live"), ("default", "live")):
        assert page.ask("/console/api/v1/events", headers=of(name, mode)).status_code == 403


def test_the_token_of_before_another_key_opens_nothing_any_more(page: Page, keys: Keys, project: str) -> None:
    page.log_in(made(keys, project))
    [cookie] = page.cookies.jar
    page.log_in(made(keys, f"{project}-other"))
    page.cookies.clear()
    response = page.ask("/console/api/session", headers={"Cookie": f"{cookie.name}={cookie.value}"})
    assert response.status_code == 401


def test_logging_out_ends_the_session_for_good(page: Page, keys: Keys, project: str) -> None:
    page.log_in(made(keys, project))
    [cookie] = page.cookies.jar
    assert page.change("DELETE", "/console/api/session").status_code == 204
    assert not list(page.cookies.jar)
    response = page.ask("/console/api/session", headers={"Cookie": f"{cookie.name}={cookie.value}"})
    assert response.status_code == 401


def test_a_session_ends_within_a_second_of_its_keys_revocation(
    server: Server, page: Page, keys: Keys, project: str
) -> None:
    key, secret = keys.create(project, "live", "admin", None, clock_ms())
    page.log_in(secret)
    assert page.ask("/console/api/v1/events").status_code == 200
    keys.revoke(key.id, now_ms=clock_ms())
    revoked_ms = clock_ms()
    sent_ms = revoked_ms
    while page.ask("/console/api/v1/events").status_code == 200:
        assert sent_ms - revoked_ms < 1000
        sent_ms = clock_ms()
    assert page.ask("/console/api/session").status_code == 401


def test_sessions_are_listed_for_whoever_administers_their_keys_and_can_be_ended(
    server: Server, page: Page, keys: Keys, project: str
) -> None:
    secret = made(keys, project)
    page.log_in(secret)
    with Page(server.url) as reader, Page(server.url) as stranger:
        reader.log_in(made(keys, project, scopes="query"))
        stranger.log_in(made(keys, f"{project}-other"))
        ids = {each["id"]: each for each in page.ask("/console/api/sessions").json()["data"]}
        assert len(ids) == 2
        assert [each["is_this"] for each in ids.values()].count(True) == 1
        [own] = stranger.ask("/console/api/sessions").json()["data"]
        assert page.change("DELETE", f"/console/api/sessions/{own['id']}").status_code == 404
        [other] = [each for each in ids.values() if not each["is_this"]]
        assert page.change("DELETE", f"/console/api/sessions/{other['id']}").status_code == 204
        assert reader.ask("/console/api/session").status_code == 401


def test_the_console_answers_like_the_route_that_it_stands_for(
    server: Server, page: Page, keys: Keys, project: str
) -> None:
    secret = made(keys, project)
    page.log_in(secret)
    page.change("POST", "/console/api/v1/events", {"name": "n", "user_id": "a/b"})
    with server.client(secret) as client:
        for path in ("/api/v1/events?name=n", "/api/v1/catalog", "/api/v1/events/count?group_by=name", "/api/v1/users"):
            assert page.ask(f"/console{path}").json() == client.get(path).json()
        assert page.ask("/console/api/v1/admin/events").json() == client.get("/v1/admin/events").json()
    unknown = page.ask("/console/api/v1/events?nmae=n")
    assert unknown.status_code == 400
    assert "'name'" in unknown.json()["detail"]


def test_the_console_has_its_own_limit_and_eats_nobodys_allowance(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_RATE_LIMITS": "on", "HEADRACE_LIMIT_CONSOLE": "3"})
    secret = server.key("shop")
    with Page(server.url) as page, server.client(secret) as client:
        page.log_in(secret)
        for _ in range(3):
            assert page.ask("/console/api/v1/events").status_code == 200
        refused = page.ask("/console/api/v1/events")
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) > 0
        assert client.get("/api/v1/events").headers["x-ratelimit-remaining"] == "59"


def test_attempts_to_log_in_are_limited_per_address(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_CONSOLE_ATTEMPTS": "2", "HEADRACE_TRUSTED_PROXIES": "127.0.0.1"})
    with Page(server.url) as page:

        def attempt(address: str) -> int:
            headers = {"X-Forwarded-For": f"6.6.6.6, {address}", "X-Forwarded-Proto": "https"}
            return page.change("POST", "/console/api/session", {"key": "wrong"}, headers=headers).status_code

        assert [attempt("203.0.113.1") for _ in range(3)] == [401, 401, 429]
        assert attempt("203.0.113.2") == 401


def test_plain_http_is_for_this_machine_alone_unless_the_setting_says_otherwise(make_server: MakeServer) -> None:
    proxied = {"HEADRACE_TRUSTED_PROXIES": "127.0.0.1"}
    server = make_server(proxied)
    away = {"X-Forwarded-For": "203.0.113.1", "X-Forwarded-Host": "events.example", "X-Forwarded-Proto": "http"}
    body = {"key": "secret"}
    with Page(server.url) as page:
        refused = page.change("POST", "/console/api/session", body, headers=away)
        assert refused.status_code == 403
        assert "HEADRACE_TRUSTED_PROXIES" in refused.json()["detail"]
        # A proxy that nobody declared passes on the host that it was asked for.
        assert page.change("POST", "/console/api/session", body, headers={"Host": "events.example"}).status_code == 403
        secure = page.change("POST", "/console/api/session", body, headers={**away, "X-Forwarded-Proto": "https"})
        assert secure.status_code == 201
        assert "; Secure" in secure.headers["set-cookie"]
    allowing = make_server({**proxied, "HEADRACE_CONSOLE_PLAIN_HTTP": "anywhere"})
    with Page(allowing.url) as page:
        allowed = page.change("POST", "/console/api/session", body, headers=away)
        assert allowed.status_code == 201
        assert "Secure" not in allowed.headers["set-cookie"]


def command(server: Server) -> str:
    args = [sys.executable, "-m", "headrace", "console", "--print", "--data", str(server.data)]
    done = subprocess.run(args, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_the_command_prints_a_link_that_opens_every_project_once(server: Server, page: Page, project: str) -> None:
    server.key(project)
    link = command(server)
    address, _, code = link.partition("#code=")
    assert address == f"{server.url}/console"
    opened = page.change("POST", "/console/api/session", {"code": code})
    assert opened.status_code == 201
    assert opened.json()["data"]["operator"] is True
    assert {(project, "live"), (project, "test")} <= {
        (each["project"], each["mode"]) for each in opened.json()["data"]["opens"]
    }
    assert page.ask("/console/api/v1/status", headers=of(project)).json()["data"]["server"] is not None
    with Page(server.url) as second:
        again = second.change("POST", "/console/api/session", {"code": code})
        assert again.status_code == 401
        assert "headrace console" in again.json()["detail"]


def test_a_code_is_only_for_whoever_has_the_data_folder(page: Page, keys: Keys, project: str) -> None:
    headers = {"Authorization": f"Bearer {made(keys, project)}"}
    assert page.post("/internal/console", headers=headers).status_code == 401


def test_a_session_survives_a_restart_and_the_key_of_the_settings_ends_with_them(tmp_path: Path) -> None:
    server = Server(tmp_path, {"HEADRACE_ADMIN_KEY": "secret"}).start()
    with Page(server.url) as page:
        page.log_in("secret")
        page.log_in(server.key("shop"))
        [cookie] = page.cookies.jar
        server.kill()
        header = {"Cookie": f"{cookie.name}={cookie.value}"}
        server.start()
        session = httpx_get(server.url, header)
        assert {each["project"] for each in session["opens"]} == {"default", "shop"}
        server.kill()
        server = Server(tmp_path, {"HEADRACE_ADMIN_KEY": "another"}).start()
        assert {each["project"] for each in httpx_get(server.url, header)["opens"]} == {"shop"}
        server.kill()
    database = open_database(tmp_path / "control.sqlite")
    with database.connect() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM console_sessions").all())
    database.dispose()
    assert cookie.value
    assert cookie.value not in kept


def httpx_get(url: str, headers: dict[str, str]) -> dict[str, list[dict[str, str]]]:
    with Page(url) as page:
        response = page.ask("/console/api/session", headers=headers)
        assert response.status_code == 200, response.text
        return response.json()["data"]


def test_no_log_line_holds_a_key_a_code_or_a_token(server: Server, page: Page, keys: Keys, project: str) -> None:
    secret = made(keys, project)
    page.log_in(secret)
    page.log_in("sk_live_wrong_key")
    [cookie] = page.cookies.jar
    assert server.said("console_login_refused")
    logged = str(server.logs)
    assert secret not in logged
    assert "sk_live_wrong_key" not in logged
    assert str(cookie.value) not in logged
    assert "console_login" in logged
