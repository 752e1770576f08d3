"""The vendors' own Python SDKs, unmodified, against a running server: each call becomes the right event, and none is lost or doubled."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.sdks.at_once import at_once
from tests.sdks.children import finish, run, start
from tests.sdks.faults import Fault, FaultyProxy
from tests.sdks.found import whole
from tests.server import Client, Server

BURST = 30


class Want(NamedTuple):
    """What an event is, as Flux's reading route shows it; "*" is any text; of properties and traits, what must be among them."""

    name: str
    type: str = "track"
    user_id: str | None = "user_1"
    anonymous_id: str | None = None
    group_id: str | None = None
    previous_id: str | None = None
    message_id: str | None = None
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}


_SEGMENT = [
    Want("Order Completed", message_id="m-track", properties={"revenue": 49.99}),
    Want("Product Viewed", user_id=None, anonymous_id="anon_1", message_id="m-anonymous"),
    Want("user.identified", "identify", message_id="m-identify", traits={"plan": "pro"}),
    Want(
        "page.viewed",
        "page",
        message_id="m-page",
        properties={"url": "/pricing", "name": "Pricing", "category": "Docs"},
    ),
    Want("screen.viewed", "page", message_id="m-screen", properties={"tab": 1, "name": "Home", "category": "Main"}),
    Want("group.identified", "group", group_id="acme", message_id="m-group", traits={"size": 5}),
    Want("user.aliased", "alias", previous_id="anon_1", message_id="m-alias"),
]


def _uuid(number: int) -> str:
    return f"0192f0a6-8a3c-7cc1-9a51-2b6f6c9e4d{number:02x}"


_POSTHOG = [
    Want("Order Completed", message_id=_uuid(1), properties={"revenue": 49.99}),
    Want("Product Viewed", user_id=None, anonymous_id="*", message_id=_uuid(2)),
    Want("user.identified", "identify", message_id=_uuid(3), traits={"plan": "pro"}),
    Want("user.identified", "identify", message_id=_uuid(4), traits={"first": True}),
    Want("group.identified", "group", group_id="acme", message_id=_uuid(5), traits={"size": 5}),
    Want("user.aliased", "alias", previous_id="anon_1", message_id=_uuid(6)),
    Want("page.viewed", "page", message_id=_uuid(7), properties={"$current_url": "/pricing"}),
    Want("screen.viewed", "page", message_id=_uuid(8), properties={"$screen_name": "Home"}),
    Want("$exception", message_id=_uuid(9)),
    Want("With Groups", group_id="acme", message_id=_uuid(10)),
    Want("$ai_generation", message_id=_uuid(11), properties={"$ai_cost": 1}),
]
_AMPLITUDE = [
    Want("Order Completed", anonymous_id="anon_1", message_id="m-track", properties={"revenue": 49.99}),
    Want("Product Viewed", user_id=None, anonymous_id="anon_1", message_id="m-anonymous"),
    Want("user.identified", "identify", anonymous_id="anon_1", message_id="m-identify", traits={"plan": "pro"}),
    Want("group.identified", "group", anonymous_id="anon_1", group_id="acme", message_id="m-group", traits={"size": 5}),
    Want(
        "user.identified",
        "identify",
        anonymous_id="anon_1",
        group_id="acme",
        message_id="m-set-group",
        traits={"company": "acme"},
    ),
    Want("revenue_amount", anonymous_id="anon_1", message_id="m-revenue", properties={"$price": 16.0, "$quantity": 3}),
]
_MIXPANEL = [
    Want("Order Completed", message_id="m-track", properties={"revenue": 49.99}),
    Want("Imported", message_id="m-import"),
    Want("user.aliased", "alias", previous_id="user_2"),
    Want("user.identified", "identify", message_id="*", traits={"plan": "pro"}),
    Want("user.identified", "identify", message_id="*", traits={"first": True}),
    Want("user.identified", "identify", message_id="*", traits={"raw": 1}),
    *(
        Want("user.identified", "identify", message_id="*", properties=operation)
        for operation in (
            {"$add": {"logins": 1}},
            {"$append": {"items": "a"}},
            {"$union": {"items": ["b"]}},
            {"$unset": ["old"]},
            {"$remove": {"items": "a"}},
            {"$append": {"$transactions": {"$amount": 49.99}}},
            {"$unset": ["$transactions"]},
            {"$delete": ""},
        )
    ),
    Want("group.identified", "group", message_id="*", user_id=None, group_id="acme", traits={"size": 5}),
    Want("group.identified", "group", message_id="*", user_id=None, group_id="acme", traits={"first": True}),
    Want("group.identified", "group", message_id="*", user_id=None, group_id="acme", traits={"raw": 1}),
    *(
        Want("group.identified", "group", message_id="*", user_id=None, group_id="acme", properties=operation)
        for operation in (
            {"$union": {"items": ["b"]}},
            {"$unset": ["old"]},
            {"$remove": {"items": "a"}},
            {"$delete": ""},
        )
    ),
]
_CLOUDEVENTS = [
    Want("Order Completed", message_id="m-binary", properties={"revenue": 49.99}),
    Want("Order Completed", message_id="m-structured", properties={"revenue": 49.99}),
    Want("user.identified", "identify", anonymous_id="anon_1", message_id="m-identify", traits={"plan": "pro"}),
    Want("group.identified", "group", group_id="acme", message_id="m-group", traits={"size": 5}),
    Want("user.aliased", "alias", previous_id="anon_1", message_id="m-alias"),
    Want("page.viewed", "page", message_id="m-page", properties={"url": "/pricing"}),
]
TABLE: dict[str, tuple[str, list[Want]]] = {
    "segment": ("segment", _SEGMENT),
    "rudderstack": ("segment", _SEGMENT),
    "posthog": ("posthog", _POSTHOG),
    "posthog-gzip": ("posthog", _POSTHOG),
    "amplitude": ("amplitude", _AMPLITUDE),
    "amplitude-batch": ("amplitude", _AMPLITUDE),
    "mixpanel": ("mixpanel", _MIXPANEL),
    "cloudevents": ("cloudevents", _CLOUDEVENTS),
}


def fits(event: dict[str, Any], want: Want) -> bool:
    texts = ("name", "type", "user_id", "anonymous_id", "group_id", "previous_id", "message_id")
    return (
        all((wanted := getattr(want, text)) == event[text] or (wanted == "*" and event[text]) for text in texts)
        and want.properties.items() <= event["properties"].items()
        and want.traits == event["traits"]
    )


@pytest.fixture(scope="module")
def tables(server: Server) -> Iterator[dict[str, "Future[str]"]]:
    """Each SDK has made each of its calls; its key."""
    keys = {sdk: server.key(f"python-table-{sdk}") for sdk in TABLE}

    def call(sdk: str) -> str:
        run(sdk, server.url, keys[sdk], "table")
        return keys[sdk]

    yield from at_once(call, TABLE)


@pytest.mark.parametrize("sdk", TABLE)
def test_each_call_of_an_sdk_becomes_the_right_event(
    server: Server, tables: dict[str, "Future[str]"], sdk: str
) -> None:
    key = tables[sdk].result()
    source, wanted = TABLE[sdk]
    with server.client(key) as client:
        found = whole(client)
    for want in wanted:
        match = next((event for event in found if fits(event, want)), None)
        assert match is not None, (want, [event for event in found if event["name"] == want.name])
        found.remove(match)
        assert match["source"] == source
        if source != "mixpanel" or want.message_id not in (None, "*"):
            assert match["timestamp"] == "2025-01-15T10:30:00Z"
        assert key not in str(match)
    assert found == []


def names(client: Client) -> Counter[str]:
    rows = client.get("/api/v1/events", params={"limit": 1000}).json()["data"]
    return Counter(row["name"] for row in rows)


ALL_ONCE = Counter(f"burst-{number}" for number in range(BURST))


FAULTS: list[Fault] = ["500", "429", "lost"]


@pytest.fixture(scope="module")
def faulty(server: Server) -> Iterator[dict[str, "Future[str]"]]:
    """Each SDK has met the faults; its key."""
    keys = {sdk: server.key(f"python-faulty-{sdk}") for sdk in TABLE}

    def send(sdk: str) -> str:
        with FaultyProxy(server, FAULTS, gateway=True) as proxy:
            run(sdk, proxy.url, keys[sdk], "burst", str(BURST))
            assert proxy.met == FAULTS
        return keys[sdk]

    yield from at_once(send, TABLE)


@pytest.mark.parametrize("sdk", TABLE)
def test_a_server_that_fails_at_first_loses_and_doubles_nothing(
    server: Server, faulty: dict[str, "Future[str]"], sdk: str
) -> None:
    """The first request never arrives, the second is over the limit, and the reply to the third is lost on its way."""
    with server.client(faulty[sdk].result()) as client:
        assert names(client) == ALL_ONCE


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "data", {"HEADRACE_ADMIN_KEY": "secret"}).start()
    yield server
    server.kill()


def test_a_killed_server_loses_and_doubles_nothing_of_any_sdk(own: Server) -> None:
    """All SDKs send at once. Twice the server is killed as soon as a request has gone out to it, before it can answer."""
    keys = {sdk: own.key(sdk) for sdk in TABLE}
    with FaultyProxy(own, [*["pass"] * 6, "kill", *["pass"] * 6, "kill"], gateway=True) as proxy:
        children = [start(sdk, proxy.url, keys[sdk], "burst", str(BURST)) for sdk in TABLE]
        try:
            for child in children:
                finish(child)
        finally:
            for child in children:
                child.kill()
                child.communicate()
        assert proxy.met.count("kill") == 2
    for sdk in TABLE:
        with own.client(keys[sdk]) as client:
            assert names(client) == ALL_ONCE, sdk


def test_a_wrong_key_is_told_to_the_sdk_as_an_error_and_never_retried(server: Server) -> None:
    # Of the others, one is asked to try for ever, and the other only logs it.
    told = [sdk for sdk in TABLE if sdk not in ("mixpanel", "amplitude", "amplitude-batch")]
    children = {sdk: start(sdk, server.url, "unknown", "burst", "1") for sdk in told}
    for sdk, child in children.items():
        output, _ = child.communicate("", timeout=60)
        assert child.returncode == 1, (sdk, output)
        assert "unknown, revoked or expired" in output, (sdk, output)
