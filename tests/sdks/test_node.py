"""The SDKs for node, as their makers ship them, against a running server: each call becomes the right event, and no fault loses one.

Each is given a host and a key. What else the scripts set makes them send sooner, and try again sooner and more often.
"""

import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from tests.sdks.at_once import at_once
from tests.sdks.docs import lines_for
from tests.sdks.faults import Fault, FaultyProxy
from tests.sdks.found import whole
from tests.sdks.npm import FOLDER, node
from tests.server import Client, Server

pytestmark = pytest.mark.timeout(480)  # the first test of a run may have to install the packages

AT = "2025-01-15T10:30:00.250Z"
SDKS = ("segment", "rudder", "posthog", "amplitude", "mixpanel")
# Of a cut connection, amplitude forgets the events; mixpanel tries nothing again by itself. For both see test_troubles.py.
PATIENT = ("segment", "rudder", "posthog")
EVENTS = 40

# Each call's event: what has to be in it; a dict may hold more than is named, for SDKs add what they know.
_SEGMENT: dict[str, dict[str, Any]] = {
    "Order Completed": {"type": "track", "properties": {"revenue": 49.99, "currency": "USD"}, "timestamp": AT},
    "user.identified": {"type": "identify", "anonymous_id": "anon_1", "traits": {"plan": "pro"}, "timestamp": AT},
    "page.viewed": {
        "type": "page",
        "properties": {"name": "Pricing", "category": "Docs", "path": "/pricing"},
        "timestamp": AT,
    },
    "screen.viewed": {"properties": {"name": "Home", "from": "push"}, "timestamp": AT},
    "group.identified": {"type": "group", "group_id": "acme", "traits": {"seats": 3}, "timestamp": AT},
    "user.aliased": {"type": "alias", "previous_id": "anon_1", "timestamp": AT},
}
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "segment": {name: event | {"user_id": "user_1"} for name, event in _SEGMENT.items()},
    "rudder": {name: event | {"user_id": "user_1"} for name, event in _SEGMENT.items()},
    "posthog": {
        "Order Completed": {
            "type": "track",
            "user_id": "user_1",
            "properties": {"revenue": 49.99, "currency": "USD"},
            "timestamp": AT,
        },
        "page.viewed": {
            "type": "page",
            "user_id": "user_1",
            "properties": {"$current_url": "https://app.example/pricing"},
            "timestamp": AT,
        },
        "user.identified": {"type": "identify", "user_id": "user_1", "traits": {"plan": "pro"}},
        "user.aliased": {"type": "alias", "properties": {"alias": "anon_1", "distinct_id": "user_1"}},
        "group.identified": {"type": "group", "group_id": "acme", "traits": {"seats": 3}},
        "$exception": {"type": "track", "user_id": "user_1"},
    },
    "amplitude": {
        "Order Completed": {
            "type": "track",
            "user_id": "user_1",
            "properties": {"revenue": 49.99, "currency": "USD"},
            "timestamp": AT,
        },
        "user.identified": {"type": "identify", "user_id": "user_1", "traits": {"plan": "pro"}, "timestamp": AT},
        "group.identified": {"type": "group", "group_id": "acme", "traits": {"seats": 3}, "timestamp": AT},
        "revenue_amount": {"properties": {"$productId": "p1", "$price": 3.99, "$quantity": 2}, "timestamp": AT},
    },
    # All but the last by GET.
    "mixpanel": {
        "Order Completed": {
            "type": "track",
            "user_id": "user_1",
            "properties": {"revenue": 49.99, "currency": "USD"},
            "timestamp": AT,
        },
        "user.aliased": {"type": "alias", "user_id": "user_1", "previous_id": "anon_1"},
        "user.identified": {"type": "identify", "user_id": "user_1", "traits": {"plan": "pro"}},
        "group.identified": {"type": "group", "group_id": "acme", "traits": {"seats": 3}},
        "In A Batch": {"type": "track", "user_id": "user_1", "timestamp": AT},
    },
}
SOURCES = {
    "segment": "segment",
    "rudder": "segment",
    "posthog": "posthog",
    "amplitude": "amplitude",
    "mixpanel": "mixpanel",
}


def send(sdk: str, url: str, key: str, *what: str) -> None:
    command = [node(), "send.mjs", sdk, url, key, *what]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr


def assert_within(found: Any, wanted: Any, where: str) -> None:
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            assert_within(found.get(key), value, f"{where}.{key}")
    else:
        assert found == wanted, where


@pytest.fixture(scope="module")
def tables(server: Server) -> Iterator[dict[str, "Future[str]"]]:
    """Each SDK has made each of its calls; its key."""
    keys = {sdk: server.key(f"node-table-{sdk}") for sdk in SDKS}

    def call(sdk: str) -> str:
        send(sdk, server.url, keys[sdk], "table")
        return keys[sdk]

    yield from at_once(call, SDKS)


@pytest.mark.parametrize("sdk", SDKS)
def test_each_call_of_the_public_api_becomes_the_right_event(
    server: Server, tables: dict[str, "Future[str]"], sdk: str
) -> None:
    with server.client(tables[sdk].result()) as client:
        found = whole(client)
    assert sorted(event["name"] for event in found) == sorted(TABLES[sdk])
    for event in found:
        assert_within(event, TABLES[sdk][event["name"]], event["name"])
        assert event["source"] == SOURCES[sdk]
        assert event["message_id"] or sdk == "mixpanel"


def sent_through_faults(server: Server, what: str, plan: list[Fault]) -> Iterator[dict[str, "Future[str]"]]:
    """Each SDK has sent many events, and met all of the plan; its key."""
    keys = {sdk: server.key(f"node-{what}-{sdk}") for sdk in PATIENT}
    lock = threading.Lock()

    def send_many(sdk: str) -> str:
        with FaultyProxy(server, plan, lock=lock) as proxy:
            send(sdk, proxy.url, keys[sdk], "many", str(EVENTS))
            assert proxy.met == plan
        return keys[sdk]

    yield from at_once(send_many, PATIENT)


@pytest.fixture(scope="module")
def faulty(server: Server) -> Iterator[dict[str, "Future[str]"]]:
    yield from sent_through_faults(server, "faulty", ["500", "429", "lost", "500"])


@pytest.mark.parametrize("sdk", PATIENT)
def test_a_server_that_fails_first_loses_and_doubles_nothing(
    server: Server, faulty: dict[str, "Future[str]"], sdk: str
) -> None:
    with server.client(faulty[sdk].result()) as client:
        assert_each_once(client)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may be killed: it is nobody else's."""
    node()  # or there is nobody to send to it
    server = Server(tmp_path_factory.mktemp("mortal")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def killed(mortal: Server) -> Iterator[dict[str, "Future[str]"]]:
    yield from sent_through_faults(mortal, "killed", ["kill"])


@pytest.mark.parametrize("sdk", PATIENT)
def test_a_server_killed_in_mid_flight_loses_and_doubles_nothing(
    mortal: Server, killed: dict[str, "Future[str]"], sdk: str
) -> None:
    key = killed[sdk].result()
    for future in killed.values():  # or another's kill may come between
        future.exception()
    with mortal.client(key) as client:
        assert_each_once(client)


def assert_each_once(client: Client) -> None:
    rows = client.get("/api/v1/events", params={"limit": 1000}).json()["data"]
    assert sorted(row["name"] for row in rows) == sorted(f"many-{number}" for number in range(EVENTS))


# What each lets go of its events with, after the two lines of docs/sdks-js.md.
_SENDS = {
    "@segment/analytics-node": "analytics.track({ userId: 'u', event: 'n' }); await analytics.closeAndFlush()",
    "@rudderstack/rudder-sdk-node": (
        "await new Promise((done) => { analytics.track({ userId: 'u', event: 'n' }, done); analytics.flush() })"
    ),
    "posthog-node": "posthog.capture({ distinctId: 'u', event: 'n' }); await posthog.shutdown()",
    "@amplitude/analytics-node": (
        "const sent = amplitude.track('n', {}, { user_id: 'u' }).promise; "
        "setInterval(() => amplitude.flush(), 100); await sent"
    ),
    "mixpanel": "await new Promise((done) => mixpanel.track('n', { distinct_id: 'u' }, done))",
}


@pytest.mark.parametrize("package", _SENDS)
def test_the_two_lines_of_the_page_are_all_it_takes(server: Server, project: str, client: Client, package: str) -> None:
    lines = lines_for(package, server.url, server.key(project))
    assert len(lines) == 2
    script = "\n".join((*lines, _SENDS[package], "process.exit(0)"))
    command = [node(), "--input-type=module", "--eval", script]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["name"] for row in client.get("/api/v1/events").json()["data"]] == ["n"]
