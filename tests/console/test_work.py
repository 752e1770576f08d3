"""What people do in the console, from the first look to the result, in Chromium against a real server."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.console.browser import Browser
from tests.console.shop import fill
from tests.console.test_screens import log_in
from tests.server import Client, Server

pytestmark = pytest.mark.timeout(600)
EDITOR = "main .editor"
FACT = "facts: [{id: order, event: order.placed, fact_type: order}]"
BADGE = "badges: [{id: first, title: First, fact: order, count: 1}]"


@pytest.fixture
def client(server: Server, project: str) -> Iterator[Client]:
    with server.client(fill(server, project)) as client:
        yield client


@pytest.fixture
def at(browser: Browser, server: Server, project: str, client: Client) -> str:
    """The address of the project, to which the browser has logged in with its key."""
    log_in(browser, server, client.headers["Authorization"].removeprefix("Bearer "))
    return f"{server.url}/console/{project}/live"


def in_editor(browser: Browser, selector: str, host: str = "main .editor") -> int:
    script = f"document.querySelector({json.dumps(host)}).shadowRoot.querySelectorAll({json.dumps(selector)}).length"
    return browser("evaluate", script=script)


def rules(client: Client) -> Any:
    return client.get("/api/v1/rules").json()["data"]


def test_rules_are_written_reviewed_and_applied_and_never_over_somebody_elses(
    browser: Browser, at: str, client: Client
) -> None:
    client.get("/api/v1/badges")  # answers once the rules have seen every event
    browser("go", url=f"{at}/rules")
    browser("see", text="84", on="main td.n a")  # so often the shop's fact rule has fired
    browser("write", host=EDITOR, text="facts:\n- {id: order}")
    browser("see", text="Line 2")
    browser("see_element", selector=".cm-lint-marker-error", host=EDITOR)
    browser("write", host=EDITOR, text=f"# Mine.\n{FACT}\n{BADGE}")
    browser("see", text="What applying this means")
    browser("see", text="Line 2", gone=True)
    assert in_editor(browser, ".cm-lint-marker-error") == 0
    before = rules(client)["version"]
    browser("click", on="Review and apply")
    browser("see", text="events would cause")
    browser("see", text="× badge first")
    browser("see_element", selector=".cm-deletedChunk", host="dialog .editor")
    assert rules(client)["version"] == before

    theirs = client.put("/api/v1/rules", content=f"# Theirs.\n{FACT}".encode()).json()["data"]["version"]
    browser("click", on="dialog[open] .primary")
    browser("see", text="which is not what this change is based on")
    assert rules(client)["version"] == theirs
    browser("click", on="Compare mine with what is in force now")
    browser("see", text="which is not what this change is based on", gone=True)
    browser("see", text="events would cause")
    browser("click", on="dialog[open] .primary")
    browser("see", text="is in force.")
    assert rules(client)["source"] == f"# Mine.\n{FACT}\n{BADGE}"

    browser("go", url=f"{at}/rules?version={theirs}")
    browser("see", text="not in force")
    browser("see", text="What applying this means")
    browser("click", on="Review and apply")
    browser("see", text="Restore")
    browser("see", text="would cause")
    browser("click", on="dialog[open] .primary")
    browser("see", text="is in force.")
    assert rules(client)["version"] == theirs
    assert not browser("errors")


def test_a_person_is_erased_once_their_id_is_typed(browser: Browser, at: str, client: Client) -> None:
    browser("go", url=f"{at}/people/user_2")
    browser("see", text="Timeline")
    browser("click", on="Erase…")
    browser("see", text="This removes for good")
    events = client.get("/api/v1/users/user_2").json()["data"]["events"]
    assert f"{events} events" in browser("evaluate", script="document.querySelector('dialog[open]').innerText")
    button = "document.querySelector('dialog[open] button.danger').disabled"
    browser("type", into="dialog[open] input", text="user_22")
    assert browser("evaluate", script=button)
    browser("type", into="dialog[open] input", text="user_2")
    browser("click", on="dialog[open] button.danger")
    browser("see", text="Erased at")
    browser("click", on="::-p-text(Close)")
    browser("see", text="Leaderboards and holders")
    assert client.get("/api/v1/events", params={"user_id": "user_2"}).json()["data"] == []
    assert not browser("errors")


def test_a_run_is_a_timeline_and_can_be_cancelled(browser: Browser, at: str, client: Client) -> None:
    [run, *_] = client.get("/api/v1/journeys/thanks/runs").json()["data"]
    browser("go", url=f"{at}/journeys/thanks?person={quote(run['person'])}")
    browser("click", on=".card td a[href*='run=']")
    browser("see", text="Began")
    browser("see", text="Waits")
    browser("click", on="Cancel the run")
    browser("see", text="Ended: cancelled")
    assert client.get(f"/api/v1/runs/{run['id']}").json()["data"]["status"] == "cancelled"
    browser("go", url=browser("address"))  # a colleague's
    browser("see", text="Ended: cancelled")


def test_a_delivery_shows_its_attempts_and_is_sent_again(browser: Browser, at: str, client: Client) -> None:
    browser("go", url=f"{at}/webhooks/rewards")
    browser("click", on="Send a test")
    browser("see", text="No answer")
    delivery = browser("address").rpartition("delivery=")[2]
    path = f"/api/v1/webhooks/rewards/deliveries/{delivery}"
    assert len(client.get(path).json()["data"]["attempts"]) == 1
    browser("click", on=".timeline ~ .row button")
    browser("see_element", selector=".timeline li:nth-child(3)")
    assert len(client.get(path).json()["data"]["attempts"]) >= 2


def test_a_question_is_an_address_with_filters_the_period_before_and_its_events(browser: Browser, at: str) -> None:
    where = quote(json.dumps([{"field": "properties.plan", "op": "=", "value": "pro"}]))
    browser("go", url=f"{at}/explore?name=page.*&where={where}&previous=1&by=properties.country&interval=1d&range=7d")
    browser("see", text="previous period")
    browser("see", text="before:")
    browser("see", text="DE")
    values = "[...document.querySelectorAll('table:last-of-type tbody td:nth-child(2)')].map(each => Number(each.textContent))"
    browser("click", on=".table th:nth-child(2) button")
    shown = browser("evaluate", script=values)
    assert shown == sorted(shown, reverse=True)
    # A canvas reads its colours once, so the chart has to be drawn anew in another theme.
    browser("evaluate", script="void (globalThis.light = document.querySelector('.chart canvas').toDataURL())")
    browser("theme", theme="dark")
    redrawn = """new Promise(done => {
        const timer = setInterval(() => document.querySelector('.chart canvas')?.toDataURL() !== globalThis.light && (clearInterval(timer), done(true)), 50)
    })"""
    assert browser("evaluate", script=redrawn)
    # A click on a chart that is just being drawn anew would find nothing below it.
    browser("evaluate", script="void (globalThis.dark = document.querySelector('.uplot'))")
    browser("theme", theme="light")
    anew = """new Promise(done => {
        const timer = setInterval(() => (at => at && at !== globalThis.dark && (clearInterval(timer), done(true)))(document.querySelector('.uplot')), 50)
    })"""
    assert browser("evaluate", script=anew)
    browser("click", on=".chart .u-over")
    browser("see", text="Events from")
    browser("go", url=browser("address"))
    browser("see", text="Events from")
    assert not browser("errors")


def test_eight_tabs_share_one_stream_and_none_hangs(browser: Browser, at: str, client: Client) -> None:
    """A browser has six connections to a host, and a stream holds one."""
    browser("go", url=f"{at}/live?name=shared")
    browser("see", text="watching")
    browser("tabs", urls=[f"{at}/live?name=shared"] * 4 + [f"{at}/live?name=other{number}" for number in range(3)])
    try:
        browser("each_tab_sees", text="Live")
        client.post("/api/v1/events/batch", json={"events": [{"name": "shared", "user_id": "all-of-them"}] * 5})
        browser("front")
        browser("see", text="5 since opened")
        for number in range(3):
            client.post("/api/v1/events", json={"name": f"other{number}", "user_id": "all-of-them"})
        browser("each_tab_sees", text="all-of-them")
        held = "navigator.locks.query().then(({held}) => held.filter(each => each.name.startsWith('headrace stream')).length)"
        assert browser("evaluate", script=held) <= 4
        asked = "fetch('/console/api/session', {headers: {'X-Headrace-Console': '1'}}).then(reply => reply.status)"
        assert browser("in_each_tab", script=asked) == [200] * 7
    finally:
        browser("close_tabs")
    # The tab that is left reads on, whoever has read before.
    client.post("/api/v1/events", json={"name": "shared", "user_id": "me"})
    browser("see", text="6 since opened")
    assert not browser("errors")
