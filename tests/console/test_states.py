"""Every screen in each of its five states: loading, empty, error, no permission, and connection lost."""

from collections.abc import Iterator

import pytest

from tests.console.browser import Browser, chromium
from tests.console.shop import fill
from tests.console.test_screens import log_in
from tests.console.views import SAID, VIEWS, add_key, come, find_again, lose
from tests.server import Server

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def browser(server: Server) -> Iterator[Browser]:
    with chromium() as browser:
        browser("size", width=1280)
        log_in(browser, server, fill(server, "states"))
        add_key(browser, server.key("states-empty"))
        yield browser


def text_of(browser: Browser) -> str:
    return browser("evaluate", script="document.querySelector('main').innerText")


def test_while_it_loads_a_screen_shows_a_skeleton_and_then_what_there_is(browser: Browser) -> None:
    for screen, view in VIEWS.items():
        come(browser, screen, does="hold")
        browser("see_element", selector="main [aria-busy]")
        assert view.shows not in text_of(browser), screen
        browser("intercept")
        browser("see", text=view.shows)


def test_an_empty_screen_says_what_to_do_next(browser: Browser) -> None:
    for screen, view in VIEWS.items():
        if view.empty:
            come(browser, screen, "states-empty")
            browser("see", text=view.empty)


def test_an_error_is_told_in_the_servers_words_and_retry_asks_again(browser: Browser) -> None:
    for screen, view in VIEWS.items():
        come(browser, screen, status=500, detail=SAID)
        browser("see", text=SAID)
        browser("intercept")
        browser("click", on="main [role=alert] button")
        browser("see", text=view.shows)


def test_a_server_that_cannot_answer_now_is_asked_again_when_it_said(browser: Browser) -> None:
    for screen in ("live", "rules"):  # the others do it by the same part
        come(browser, screen, status=503, detail=SAID, headers={"Retry-After": "1"})
        browser("see", text=SAID)
        browser("intercept")
        browser("see", text=VIEWS[screen].shows)


def test_a_stale_answer_is_told_with_the_time_until_which_it_is_complete_until_it_is_asked_for_again(
    browser: Browser,
) -> None:
    none: dict[str, object] = {"data": [], "meta": {"next_cursor": None}}
    for until in ("2026-11-30T08:21:09.659Z", ""):
        headers = {"Headrace-Stale": "true"} | ({"Headrace-Complete-Until": until} if until else {})
        for screen in ("people", "catalogue"):  # the others do it by the same part
            come(browser, screen, status=200, body=none, headers=headers)
            browser("see", text="the last events may be missing")
            assert ("missing. Complete until" in text_of(browser)) == bool(until), screen
            browser("intercept")
            browser("click", on="Ask again")
            browser("see", text=VIEWS[screen].shows)
            browser("see", text="the last events may be missing", gone=True)


def test_who_may_not_see_a_screen_is_told_why_and_which_key_is_in_use(browser: Browser) -> None:
    for screen in VIEWS:
        come(browser, screen, status=403, detail="This needs the scope 'admin'.")
        browser("see", text="This needs the scope 'admin'.")
        browser("see", text="Key in use: adm_")


def test_a_lost_connection_is_told_old_data_stays_and_it_recovers_without_a_click(browser: Browser) -> None:
    for screen, view in VIEWS.items():
        come(browser, screen)
        browser("see", text=view.shows)
        lose(browser)
        assert view.shows in text_of(browser), screen
        find_again(browser)
        browser("see", text=view.shows)
