"""The SDKs for web pages, as their makers ship them, in a headless Chromium: a page of one origin sends to a server of another.

The key is publishable and for that page's origin alone. What is still queued when the page goes leaves as a beacon.
"""

import subprocess
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.ports import reserved_port
from tests.sdks.at_once import at_once
from tests.sdks.chromium import chromium
from tests.sdks.docs import lines_for
from tests.sdks.faults import Fault, FaultyProxy
from tests.sdks.found import whole
from tests.sdks.npm import FOLDER, node
from tests.sdks.test_node import assert_within, mortal
from tests.server import Client, Server

__all__ = ["chromium", "mortal"]  # fixtures

pytestmark = pytest.mark.timeout(480)  # the first test of a run may have to install the packages

_ORDER = {"type": "track", "properties": {"revenue": 49.99, "currency": "USD"}}
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "segment": {
        "page.viewed": {
            "type": "page",
            "properties": {"category": "Docs", "name": "Pricing", "path": "/", "title": "Pricing"},
        },
        "Order Completed": _ORDER,
        "user.identified": {"type": "identify", "user_id": "user_1", "traits": {"plan": "pro"}},
        "group.identified": {"type": "group", "user_id": "user_1", "group_id": "acme", "traits": {"seats": 3}},
        "screen.viewed": {"properties": {"category": "App", "name": "Home", "from": "push"}},
        "user.aliased": {"type": "alias", "user_id": "user_1", "previous_id": "old_1"},
    },
    "posthog": {
        "Order Completed": _ORDER,
        "user.identified": {"type": "identify", "user_id": "user_1", "traits": {"plan": "pro"}},
        "group.identified": {"type": "group", "user_id": "user_1", "group_id": "acme", "traits": {"seats": 3}},
        "user.aliased": {"type": "alias", "properties": {"alias": "user_2", "distinct_id": "user_1"}},
        # These two it captures by itself, the second when the page goes.
        "page.viewed": {"type": "page", "properties": {"title": "Pricing"}},
        "$pageleave": {"type": "track"},
    },
    # It sends with credentials, and a browser shows it only what may be shown with those.
    "mixpanel": {
        "Order Completed": _ORDER,
        "user.identified": {"type": "identify", "user_id": "user_1"},
        "page.viewed": {"type": "page", "user_id": "user_1"},
    },
}
PACKAGES = {
    "segment": "@segment/analytics-next",
    "posthog": "posthog-js",
    "mixpanel": "mixpanel-browser",
    "amplitude": "@amplitude/analytics-browser",
    "rudderstack": "@rudderstack/analytics-js",
}
# posthog-js drops what is answered 429, as it does what is answered 400; so the server answers it 503 where others get 429.
FAULTS: dict[str, list[Fault]] = {"segment": ["500", "429", "lost"], "posthog": ["500", "503", "lost"]}


def browse(browser: str, server: Server, project: str, sdk: str, url: str, stays: int = 0) -> None:
    """Open a page that starts the SDK as docs/sdks-js.md says and makes each call of its public API once; wait for all its events.

    stays: the page is left only once the server has so many of them.
    """
    with reserved_port() as port:
        key = server.key(project, style="publishable", origins=(f"http://127.0.0.1:{port}",))
        _, start = lines_for(PACKAGES[sdk], url, key)
        given = [sdk, start, url, server.key(project), str(len(TABLES[sdk])), browser, str(port), str(stays)]
        command = [node(), "browse.mjs", *given]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_as_in_the_table(client: Client, sdk: str) -> None:
    found = whole(client)
    assert sorted(event["name"] for event in found) == sorted(TABLES[sdk])
    for event in found:
        assert_within(event, TABLES[sdk][event["name"]], event["name"])
    # One person, anonymous at first and known later.
    assert len({event["anonymous_id"] for event in found if event["type"] != "group"} - {None}) == 1


def opened(browser: str, server: Server, what: str, sdk: str, plan: list[Fault]) -> str:
    """The SDK's page has been opened, and has met all of the plan; the key that reads its events."""
    project = f"browser-{what}-{sdk}"
    with FaultyProxy(server, plan) as proxy:
        # posthog-js tries again what was cut off, but only while its page is there; what it sends when the page goes it cannot.
        stays = len(TABLES[sdk]) - 1 if plan == ["kill"] and sdk == "posthog" else 0
        browse(browser, server, project, sdk, proxy.url if plan else server.url, stays)
        assert proxy.met == plan
    return server.key(project)


@pytest.fixture(scope="module")
def tables(chromium: str, server: Server) -> Iterator[dict[str, "Future[str]"]]:
    yield from at_once(lambda sdk: opened(chromium, server, "table", sdk, []), TABLES)


@pytest.mark.parametrize("sdk", TABLES)
def test_each_call_of_the_public_api_becomes_the_right_event(
    server: Server, tables: dict[str, "Future[str]"], sdk: str
) -> None:
    with server.client(tables[sdk].result()) as client:
        assert_as_in_the_table(client, sdk)


@pytest.fixture(scope="module")
def faulty(chromium: str, server: Server) -> Iterator[dict[str, "Future[str]"]]:
    yield from at_once(lambda sdk: opened(chromium, server, "faulty", sdk, FAULTS[sdk]), FAULTS)


@pytest.mark.parametrize("sdk", FAULTS)
def test_a_server_that_fails_first_loses_and_doubles_nothing(
    server: Server, faulty: dict[str, "Future[str]"], sdk: str
) -> None:
    with server.client(faulty[sdk].result()) as client:
        assert_as_in_the_table(client, sdk)


@pytest.mark.parametrize("sdk", FAULTS)
def test_a_server_killed_under_a_page_loses_and_doubles_nothing(chromium: str, mortal: Server, sdk: str) -> None:
    """One after the other: what leaves a page as a beacon nobody sends again, so another page's kill must not meet it."""
    key = opened(chromium, mortal, "killed", sdk, ["kill"])
    with mortal.client(key) as client:
        assert_as_in_the_table(client, sdk)
