"""The console in Chromium, against a real server with real events."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.console.browser import Browser
from tests.console.shop import fill
from tests.http.conftest import make_server
from tests.server import Server

__all__ = ["make_server"]
pytestmark = pytest.mark.timeout(600)

SCREENS = {
    "live": "Live",
    "explore": "Explore",
    "funnels?steps=%5B%22page.viewed%22%2C%22order.placed%22%5D&by=properties.country": "Funnels",
    "retention?first=page.viewed&period=day": "Retention",
    "people": "People",
    "people/user_1": "user_1",
    "catalogue": "Catalogue",
    "catalogue/order%2Eplaced": "order.placed",
    "rules": "Rules",
    "journeys/thanks": "Thank you",
    "webhooks/rewards": "rewards",
    "replays": "Replays",
    "keys": "Keys",
    "health": "Health",
}


@pytest.fixture(scope="module")
def shop(server: Server) -> str:
    return fill(server)


def log_in(browser: Browser, server: Server, key: str) -> None:
    browser("go", url=f"{server.url}/console/api/session")  # any page of the origin, to leave nothing of the one before
    browser(
        "evaluate",
        script="fetch('/console/api/session', {method: 'DELETE', headers: {'Content-Type': 'application/json', 'X-Headrace-Console': '1'}}).then(() => 0)",
    )
    browser("go", url=f"{server.url}/console")
    browser("type", into="input[type=password]", text=key)
    browser("press", key="Enter", at="input[type=password]")
    browser("see", text="Catalogue")


def test_no_screen_overflows_or_breaks_its_policy_and_axe_finds_nothing(
    browser: Browser, server: Server, shop: str
) -> None:
    log_in(browser, server, shop)
    found: dict[str, object] = {}
    browser("errors")
    for number, (screen, title) in enumerate(SCREENS.items()):
        browser("size", width=1280)
        browser("theme", theme="light" if number % 2 else "dark")
        browser("go", url=f"{server.url}/console/shop/live/{screen}")
        browser("see", text=title, on="main")
        browser("settle")
        problems = [*browser("axe"), *browser("geometry")]
        for width, theme in ((768, "light"), (390, "dark")):
            browser("size", width=width)
            browser("theme", theme=theme)
            browser("settle")
            problems += [f"{width}: {each}" for each in browser("geometry")]
        problems += browser("axe")
        problems += browser("errors")
        if problems:
            found[screen] = problems
    browser("size", width=1280)
    browser("theme", theme="light")
    assert not found, json.dumps(found, indent=1)


def test_a_newcomer_sees_the_first_event_arrive_and_what_was_refused(
    browser: Browser, server: Server, keys: Keys, project: str
) -> None:
    key = server.key(project)
    log_in(browser, server, key)
    browser("see", text="Waiting for the first event")
    with server.client(key) as client:
        client.post("/api/v1/events", json={"name": "hello.world", "user_id": "me"})
        browser("see", text="hello.world")
        client.post("/api/v1/events", json={"user_id": "me"})
        browser("see", text="400 refused")
        browser("click", on="Pause")
        client.post("/api/v1/events", json={"name": "while.paused"})
        browser("see", text="1 new while paused: show")
        assert "while.paused" not in browser("evaluate", script="document.querySelector('.rows').innerText")
        browser("click", on="1 new while paused: show")
        browser("see", text="while.paused")
    browser("click", on=".rows tbody tr:last-child .name a")
    browser("see", text="Deduplicated")
    address = browser("address")
    assert f"/console/{project}/live/live?event=evt_" in address
    browser("go", url=address)  # a colleague's
    browser("see", text="Deduplicated")
    assert key not in browser(
        "evaluate", script="JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    )
    assert not browser("errors")


def test_a_revoked_key_under_an_open_tab_asks_for_another(
    browser: Browser, server: Server, keys: Keys, project: str
) -> None:
    key, secret = keys.create(project, "live", "admin", None, clock_ms())
    log_in(browser, server, secret)
    keys.revoke(key.id, now_ms=clock_ms())
    browser("see", text="The session has ended")
    browser("type", into="dialog input[type=password]", text=server.key(project))
    browser("press", key="Escape", at="dialog input[type=password]")
    browser("press", key="Escape")  # the browser does not let a page keep its dialog open twice
    browser("press", key="Enter", at="dialog input[type=password]")
    browser("see", text="The session has ended", gone=True)
    browser("see", text="watching")


def test_a_killed_server_that_comes_back_is_watched_on_with_exact_counts(browser: Browser, tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    key = server.key("shop")
    log_in(browser, server, key)
    browser("see", text="Waiting for the first event")  # it counts from when it is open
    with server.client(key) as client:
        client.post("/api/v1/events/batch", json={"events": [{"name": "n"}] * 7})
        browser("see", text="7 since opened")
    server.kill()
    browser("see", text="connection lost")
    server.start()
    with server.client(key) as client:
        client.post("/api/v1/events/batch", json={"events": [{"name": "n"}] * 5})
    browser("see", text="12 since opened")
    server.kill()


def test_a_key_that_only_reads_is_told_what_it_lacks(
    browser: Browser, server: Server, keys: Keys, project: str
) -> None:
    _, secret = keys.create(project, "live", "flux", frozenset({"query"}), clock_ms())
    log_in(browser, server, secret)
    browser("go", url=f"{server.url}/console/{project}/live/rules")
    browser("see", text="You may not see this")
    browser("see", text="headrace keys create")


def test_what_strangers_send_is_shown_as_text(browser: Browser, server: Server, shop: str) -> None:
    log_in(browser, server, shop)
    browser("go", url=f"{server.url}/console/shop/live/live")
    browser("see", text="<b>\\u202eevil</b>")
    browser("go", url=f"{server.url}/console/shop/live/people/user_1%2Fwith%20a%20slash")
    browser("see", text="level.done")
    browser("click", on="level.done")
    browser("see", text="9007199254740993")
    assert not browser("errors")


def test_a_page_on_another_port_gets_nothing_and_changes_nothing(browser: Browser, server: Server, shop: str) -> None:
    log_in(browser, server, shop)

    class Evil(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<p>evil</p>")

        def log_message(self, *_: object) -> None:
            pass

    evil = ThreadingHTTPServer(("127.0.0.1", 0), Evil)
    threading.Thread(target=evil.serve_forever, daemon=True).start()
    try:
        browser("go", url=f"http://127.0.0.1:{evil.server_port}/")
        url = f"{server.url}/console/api/v1/events"
        for options in (
            "{mode: 'no-cors', credentials: 'include'}",
            "{method: 'POST', mode: 'no-cors', credentials: 'include', body: '{\"name\":\"evil\"}'}",
        ):
            browser("evaluate", script=f"fetch('{url}', {options}).then(() => 0, () => 0)")
        browser(
            "evaluate",
            script=f"fetch('{url}', {{credentials: 'include', headers: {{'X-Headrace-Console': '1'}}}}).then(() => 'read', () => 'kept out')",
        )
        refused = [("GET", 403), ("POST", 403)]
        statuses = {(method, status) for method, status, _ in browser("replies", url=url, wanted=refused)}
        assert not {status for _, status in statuses} & {200, 201, 204}
    finally:
        evil.shutdown()
        evil.server_close()


def test_the_tour_by_keyboard_shows_its_focus_and_gives_it_back(browser: Browser, server: Server, shop: str) -> None:
    log_in(browser, server, shop)
    field = "input[role=combobox]"
    browser("evaluate", script="document.querySelector('.find').focus()")
    browser("press", hold="Control", key="k", at=".find")
    browser("type", into=field, text="heal")
    browser("press", key="Escape", at=field)
    browser("focus", name="button Search")
    browser("press", key="Tab")
    assert browser("focus", name="button Send") == "solid"
    browser("press", hold="Control", key="k")
    browser("type", into=field, text="heal")
    browser("see", text="person with this id")  # the server has answered
    browser("press", key="ArrowUp", at=field)
    browser("see", text="Health", on="[role=option][aria-selected=true]")
    browser("press", key="Enter", at=field)
    browser("see", text="Latest refusals")


def test_a_search_opened_again_at_once_stays_open(browser: Browser, server: Server, shop: str) -> None:
    """As when Escape and Ctrl+K follow each other before the browser has told the page that its dialog is closed."""
    log_in(browser, server, shop)
    browser("press", hold="Control", key="k")
    browser("see", text="Search", on="dialog[open] h2")
    script = """(async () => {
        const dialog = document.querySelector('dialog[open]')
        const told = new Promise(done => dialog.addEventListener('close', done))
        dialog.close()
        await null
        window.dispatchEvent(new KeyboardEvent('keydown', {ctrlKey: true, key: 'k'}))
        await told
        return dialog.open
    })()"""
    assert browser("evaluate", script=script)
    browser("type", into="input[role=combobox]", text="heal")


def test_a_key_that_was_kept_after_all_can_be_revoked_later(browser: Browser, server: Server, project: str) -> None:
    key = server.key(project)
    log_in(browser, server, key)
    browser("go", url=f"{server.url}/console/{project}/live/keys")
    for used in ("Nothing has used it in the last day", "2 requests in the last hour"):
        browser("click", on="button.danger::-p-text(Revoke)")
        browser("see", text="stops within a second")
        browser("see", text=used, on="dialog[open]")
        browser("press", key="Escape", at="dialog :focus")
        browser("see", text="stops within a second", gone=True)
        with server.client(key) as client:
            for _ in range(2):
                client.post("/api/v1/events", json={"name": "n"}, headers={"User-Agent": "checkout/2.1 (linux)"})
    browser("click", on="button.danger::-p-text(Revoke)")
    browser("see", text="checkout/2.1", on="dialog[open]")
    browser("see", text="POST /api/v1/events", on="dialog[open]")
