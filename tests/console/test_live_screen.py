"""The Live screen in Chromium while more arrives than anybody reads, and while somebody reads."""

from collections.abc import Iterator

import pytest

from tests.console.browser import Browser
from tests.console.test_screens import log_in
from tests.server import Client, Server

pytestmark = pytest.mark.timeout(600)

ROWS = "document.querySelectorAll('.rows tbody tr').length"
# The clock of the page stands still, so that what it draws after a rest has to wait until the test lets it.
STOP_DRAWING = """{
    const now = performance.now() + 1000, later = setTimeout;
    performance.now = () => now;
    globalThis.setTimeout = (work, ms, ...given) => 0 < ms && ms < 300 ? ((globalThis.drawNow = work), -1) : later(work, ms, ...given);
}"""


@pytest.fixture
def client(browser: Browser, server: Server, project: str) -> Iterator[Client]:
    """Of a new project, whose Live screen is open."""
    key = server.key(project)
    log_in(browser, server, key)
    browser("see", text="Waiting for the first event")
    with server.client(key) as client:
        yield client
    browser("size", width=1280)
    assert not browser("errors")


def send(client: Client, *names: str) -> None:
    properties = {f"key {each}": each for each in range(8)}
    events = [{"name": name, "user_id": "me", "value": 1, "properties": properties} for name in names]
    assert client.post("/api/v1/events/batch", json={"events": events}).is_success


def test_few_nodes_are_in_the_document_and_the_older_rows_are_leafed_to(browser: Browser, client: Client) -> None:
    """An event beside the list included, and whatever a node is: an element, a text, or a comment of the framework's."""
    for _ in range(2):
        send(client, *(f"n{number % 9}" for number in range(150)))
    send(client, "the.last")
    browser("see", text="301 since opened")
    browser("click", on=".rows .name a::-p-text(n0)")
    browser("see", text="Deduplicated")
    browser("settle")
    assert browser("evaluate", script=ROWS) == 32  # as many as a window of 900 pixels could hold
    browser("click", on=".list footer button::-p-text(Older)")
    browser("see", text="the.last", on=".rows", gone=True)
    assert browser("evaluate", script=ROWS) == 100
    send(client, "while.reading")
    browser("see", text="1 new above: show")
    assert browser("nodes") < 3000
    browser("click", on=".list footer button::-p-text(Newest)")
    browser("see", text="while.reading", on=".rows")
    browser("see", text="the.last", on=".rows")


def test_the_rows_below_the_window_are_drawn_for_whoever_scrolls(browser: Browser, client: Client) -> None:
    send(client, *(f"n{number}" for number in range(120)))
    browser("see", text="88 older rows kept")
    browser("evaluate", script="document.querySelector('.rows').scrollTo(0, 300)")
    browser("see", text="20 older rows kept")
    send(client, "while.reading")
    browser("see", text="1 new above: show")
    browser("evaluate", script="document.querySelector('.rows').scrollTo(0, 0)")
    browser("see", text="while.reading", on=".rows")
    browser("see", text="89 older rows kept")


def test_what_arrives_in_quick_succession_is_drawn_together(browser: Browser, client: Client) -> None:
    browser("evaluate", script=STOP_DRAWING)
    send(client, "one")
    browser("see", text="one", on=".rows")
    for name in ("two", "three", "three"):
        send(client, name)
        browser("see", text=name, on=".rates")  # so it was told
    browser("see", text="0.03/s", on=".rates")  # two in a minute
    assert browser("evaluate", script=ROWS) == 1
    assert client.post("/api/v1/events", json={}).status_code == 400
    browser("evaluate", script="drawNow()")
    browser("see", text="4 since opened")
    names = "[...document.querySelectorAll('.rows .name')].map(each => each.innerText)"
    assert browser("evaluate", script=names) == ["three", "three", "two", "one"]


def test_a_row_that_the_keyboard_has_reached_stays(browser: Browser, client: Client) -> None:
    send(client, "one")
    browser("see", text="one", on=".rows")
    browser("evaluate", script="document.querySelector('.screen form select').focus()")
    browser("press", key="Tab", at=".screen form select")
    browser("focus", name="a one")
    send(client, "two")
    browser("see", text="1 new above: show")
    browser("focus", name="a one")
    browser("press", key="Tab", hold="Shift")
    browser("press", key="Tab", hold="Shift")
    browser("see", text="two", on=".rows")
    browser("see", text="above: show", gone=True)


def test_on_a_phone_where_the_page_scrolls_rows_are_held_too(browser: Browser, client: Client) -> None:
    browser("size", width=390, height=844)
    send(client, *(f"n{number}" for number in range(120)))
    browser("see", text="older rows kept")
    browser("evaluate", script="document.getElementById('main').scrollTo(0, 1000)")
    browser("see", text="20 older rows kept")
    send(client, "while.reading")
    browser("see", text="1 new above: show")
    browser("click", on="1 new above: show")
    browser("see", text="while.reading", on=".rows")
    top = "document.querySelector('.rows').getBoundingClientRect().top > document.getElementById('main').getBoundingClientRect().top"
    assert browser("evaluate", script=top)
