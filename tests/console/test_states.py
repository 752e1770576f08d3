"""Every screen in each of its five states: loading, empty, error, no permission, and connection lost."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.console.browser import Browser, chromium
from tests.console.shop import fill
from tests.console.test_screens import log_in
from tests.server import Server

pytestmark = pytest.mark.timeout(600)
SAID = "The store did not answer, said the server."

# For each screen: what its question's URL contains, what it shows of the shop, and what it shows of a project without anything.
VIEWS = {
    "live": ("/api/v1/live", "order.placed", "Waiting for the first event"),
    "explore": ("/api/v1/query", "intervals", "Nothing in this range"),
    "people": ("/api/v1/users", "Ada 1", "Nobody yet"),
    "catalogue": ("/api/v1/catalog", "page.viewed", "No events yet"),
    "people/user_1": ("/api/v1/users/user_1", "Timeline", None),
    "rules": ("/api/v1/rules", "three-orders", "No rules yet"),
    "catalogue/order%2Eplaced": ("/api/v1/catalog/order", "Latest example", None),
    "journeys": ("/api/v1/journeys", "Thank you", "No journeys yet"),
    "webhooks": ("/api/v1/webhooks", "rewards", "No webhooks yet"),
    "replays": ("/admin/replays", "signup", "No replays yet"),
    "journeys/thanks": ("/api/v1/journeys/thanks", "Steps", None),
    "keys": ("/api/v1/keys", "Rotate", None),
    "health": ("/api/v1/status", "Latest refusals", None),
}


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[Browser]:
    with chromium() as browser:
        browser("size", width=1280)
        log_in(browser, server, fill(server, "states"))
        add_key(browser, server.key("states-empty"))
        yield browser


def add_key(browser: Browser, key: str) -> None:
    body = json.dumps({"key": key})
    script = f"""fetch('/console/api/session', {{method: 'POST', body: '{body}',
        headers: {{'Content-Type': 'application/json', 'X-Headrace-Console': '1'}}}}).then(reply => reply.status)"""
    assert browser("evaluate", script=script) == 201
    browser("evaluate", script="location.reload()")
    browser("see", text="Catalogue")


def each_view(
    browser: Browser, project: str = "states", only: tuple[str, ...] = tuple(VIEWS)
) -> Iterator[tuple[str, str, str, str | None]]:
    """The address of each, what its question contains, what it shows, and what it shows of nothing. Visits another before."""
    for screen in only:
        asks, shows, empty = VIEWS[screen]
        browser("intercept")
        browser("visit", path=f"/console/{project}/live/{'health' if screen != 'health' else 'keys'}")
        yield f"/console/{project}/live/{screen}", asks, shows, empty


def intercept(browser: Browser, part: str, **given: Any) -> None:
    browser("intercept", part=part, **given)


def test_while_it_loads_a_screen_shows_a_skeleton_and_then_what_there_is(browser: Browser) -> None:
    for address, asks, shows, _ in each_view(browser):
        intercept(browser, asks, does="hold")
        browser("visit", path=address)
        browser("see_element", selector="main [aria-busy]")
        assert shows not in browser("evaluate", script="document.querySelector('main').innerText"), address
        browser("intercept")
        browser("see", text=shows)


def test_an_empty_screen_says_what_to_do_next(browser: Browser) -> None:
    for address, _, _, empty in each_view(browser, "states-empty"):
        if empty:
            browser("visit", path=address)
            browser("see", text=empty)


def test_an_error_is_told_in_the_servers_words_and_retry_asks_again(browser: Browser) -> None:
    for address, asks, shows, _ in each_view(browser):
        intercept(browser, asks, status=500, detail=SAID)
        browser("visit", path=address)
        browser("see", text=SAID)
        browser("intercept")
        browser("click", on="main [role=alert] button")
        browser("see", text=shows)


def test_a_server_that_cannot_answer_now_is_asked_again_when_it_said(browser: Browser) -> None:
    for address, asks, shows, _ in each_view(browser, only=("live", "rules")):  # the others do it by the same part
        intercept(browser, asks, status=503, detail=SAID, headers={"Retry-After": "1"})
        browser("visit", path=address)
        browser("see", text=SAID)
        browser("intercept")
        browser("see", text=shows)


def test_who_may_not_see_a_screen_is_told_why_and_which_key_is_in_use(browser: Browser) -> None:
    for address, asks, _, _ in each_view(browser):
        intercept(browser, asks, status=403, detail="This needs the scope 'admin'.")
        browser("visit", path=address)
        browser("see", text="This needs the scope 'admin'.")
        browser("see", text="Key in use: adm_")


def test_a_lost_connection_is_told_old_data_stays_and_it_recovers_without_a_click(browser: Browser) -> None:
    for address, asks, shows, _ in each_view(browser):
        browser("visit", path=address)
        browser("see", text=shows)
        intercept(browser, "/console/api", does="cut")
        browser("evaluate", script="dispatchEvent(new Event('offline'))")
        browser("see", text="Connection lost")
        assert shows in browser("evaluate", script="document.querySelector('main').innerText"), address
        intercept(browser, "no such part")
        browser("evaluate", script="dispatchEvent(new Event('online'))")
        browser("see", text="Connection lost", gone=True)
        browser("see", text=shows)
        assert asks
