"""The console's screens, and how a browser comes to each in each of its states: for the tests, and for pictures of them."""

import json
from typing import NamedTuple

from tests.console.browser import Browser

SAID = "The store did not answer, said the server."


class View(NamedTuple):
    """A screen: what its question's URL contains, what it shows of the shop, and what it shows of a project without anything."""

    asks: str
    shows: str
    empty: str | None


VIEWS = {
    "live": View("/api/v1/live", "order.placed", "Waiting for the first event"),
    "explore": View("/api/v1/query", "intervals", "Nothing in this range"),
    "funnels?steps=%5B%22page.viewed%22%2C%22order.placed%22%2C%22signup%22%5D&by=properties.country": View(
        "/api/v1/query/funnel", "Median time", "Nobody took the first step"
    ),
    "retention?first=page.viewed&period=day&range=30d": View(
        "/api/v1/query/retention", "All cohorts", "Nobody in this range"
    ),
    "people": View("/api/v1/users", "Ada 1", "Nobody yet"),
    "catalogue": View("/api/v1/catalog", "page.viewed", "No events yet"),
    "people/user_1": View("/api/v1/users/user_1", "Timeline", None),
    "rules": View("/api/v1/rules", "three-orders", "No rules yet"),
    "catalogue/order%2Eplaced": View("/api/v1/catalog/order", "Latest example", None),
    "journeys": View("/api/v1/journeys", "Thank you", "No journeys yet"),
    "webhooks": View("/api/v1/webhooks", "rewards", "No webhooks yet"),
    "replays": View("/admin/replays", "signup", "No replays yet"),
    "journeys/thanks": View("/api/v1/journeys/thanks", "Steps", None),
    "keys": View("/api/v1/keys", "Rotate", None),
    "health": View("/api/v1/status", "Latest refusals", None),
}


def address(screen: str, project: str = "states") -> str:
    return f"/console/{project}/live/{screen}"


def come(browser: Browser, screen: str, project: str = "states", **rule: object) -> None:
    """Visit the screen from another one. rule: what its question meets in place of the server, see browser.mjs."""
    browser("intercept")
    browser("visit", path=address("keys" if screen == "health" else "health", project))
    if rule:
        browser("intercept", part=VIEWS[screen].asks, **rule)
    browser("visit", path=address(screen, project))


def lose(browser: Browser) -> None:
    """No request reaches the server any more."""
    browser("intercept", part="/console/api", does="cut")
    browser("evaluate", script="dispatchEvent(new Event('offline'))")
    browser("see", text="Connection lost")


def find_again(browser: Browser) -> None:
    browser("intercept", part="no such part")
    browser("evaluate", script="dispatchEvent(new Event('online'))")
    browser("see", text="Connection lost", gone=True)


def add_key(browser: Browser, key: str) -> None:
    body = json.dumps({"key": key})
    script = f"""fetch('/console/api/session', {{method: 'POST', body: '{body}',
        headers: {{'Content-Type': 'application/json', 'X-Headrace-Console': '1'}}}}).then(reply => reply.status)"""
    assert browser("evaluate", script=script) == 201
    browser("go", url=browser("address"))  # returns once the new page is there: the one before shows a catalogue, too
    browser("see", text="Catalogue")
