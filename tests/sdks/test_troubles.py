"""SDKs in trouble: a batch with one bad event, a batch that is too large, a reply that is lost. For node and for pages.

Each SDK is as its maker ships it. Where one loses events that the server would take, that is its own doing, and said here.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.ports import reserved_port
from tests.sdks.chromium import chromium
from tests.sdks.docs import lines_for
from tests.sdks.faults import Fault, FaultyProxy
from tests.sdks.npm import FOLDER, node
from tests.sdks.test_browser import PACKAGES
from tests.server import Client, Server

__all__ = ["chromium"]  # a fixture

pytestmark = pytest.mark.timeout(480)  # the first test of a run may have to install the packages

COUNT, BAD, LIMIT_BYTES, PADDING = 8, 3, 4000, 800  # all of them together are over the limit, a few are not


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that takes only small bodies."""
    node()
    server = Server(tmp_path_factory.mktemp("small"), {"HEADRACE_MAX_REQUEST_BYTES": str(LIMIT_BYTES)}).start()
    yield server
    server.stop()


def stored(client: Client, prefix: str) -> list[int]:
    """The numbers of the events that are there, each as often as it is."""
    rows = client.get("/api/v1/events", params={"name": f"{prefix}*", "limit": 100}).json()["data"]
    return sorted(int(row["name"].removeprefix(prefix)) for row in rows)


ALL = list(range(COUNT))
ALL_BUT_THE_BAD = [number for number in ALL if number != BAD]

# node

NODE = ("segment", "rudder", "posthog", "amplitude", "mixpanel")


def send(server: Server, project: str, sdk: str, plan: list[Fault], bad: int = -1, padding: int = 0) -> str:
    """Track all events; what the SDK or its caller said about it."""
    with FaultyProxy(server, plan) as proxy:
        given = [sdk, proxy.url, server.key(project), "many", str(COUNT), str(bad), str(padding)]
        done = subprocess.run([node(), "send.mjs", *given], cwd=FOLDER, capture_output=True, text=True, timeout=100)
        assert proxy.met == plan
        return done.stdout + done.stderr


@pytest.mark.parametrize("sdk", NODE)
def test_a_bad_event_of_a_node_sdk_costs_no_other(server: Server, project: str, client: Client, sdk: str) -> None:
    said = send(server, project, sdk, [], bad=BAD)
    assert stored(client, "many-") == ALL_BUT_THE_BAD, said


@pytest.mark.parametrize("sdk", NODE)
def test_a_lost_reply_to_a_node_sdk_loses_and_doubles_nothing(
    server: Server, project: str, client: Client, sdk: str
) -> None:
    said = send(server, project, sdk, ["lost"])
    assert stored(client, "many-") == ALL, said


# On 413 these send the same in smaller parts; the others drop it and say so. mixpanel sends half of them one by one.
SPLITS = {"posthog": ALL, "amplitude": ALL, "mixpanel": ALL[1::2], "segment": [], "rudder": [0]}


@pytest.mark.parametrize("sdk", NODE)
def test_a_node_sdk_reads_a_413_and_splits_the_batch_or_says_that_it_drops_it(
    small: Server, project: str, sdk: str
) -> None:
    said = send(small, project, sdk, [], padding=PADDING)
    with small.client(small.key(project)) as client:
        assert set(stored(client, "many-")) >= set(SPLITS[sdk]), said
    assert SPLITS[sdk] == ALL or "413" in said


# Pages


class Way(NamedTuple):
    """How an SDK's events leave a page. `asks`: how and where the page then sends."""

    sdk: str
    way: str
    asks: str

    def __str__(self) -> str:
        return f"{self.sdk} by {self.way}"


WAYS = (
    Way("amplitude", "fetch", "POST /2/httpapi"),
    Way("amplitude", "beacon", "POST /2/httpapi"),
    Way("mixpanel", "fetch", "POST /track/"),
    Way("mixpanel", "get", "GET /track/"),
    Way("mixpanel", "beacon", "POST /track/"),
    Way("rudderstack", "fetch", "POST /v1/batch"),
    Way("rudderstack", "beacon", "POST /beacon/v1/batch"),
)
EACH_WAY = pytest.mark.parametrize("way", WAYS, ids=str)


def track(
    browser: str, server: Server, project: str, way: Way, plan: list[Fault], bad: int = -1, padding: int = 0
) -> str:
    """Track all events from a page; what it said."""
    names = [f"t-{number}{'-too-long' * 30 if number == bad else ''}" for number in ALL]
    with FaultyProxy(server, plan) as proxy, reserved_port() as port:
        key = server.key(project, style="publishable", origins=(f"http://127.0.0.1:{port}",))
        start = "\n".join(lines_for(PACKAGES[way.sdk], proxy.url, key)[1:])
        given = [way.sdk, way.way, start, json.dumps(names), str(padding), browser, str(port), server.url]
        command = [node(), "track.mjs", *given, server.key(project), str(COUNT - (bad >= 0))]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stdout + done.stderr
        assert proxy.met == plan
        assert set(proxy.asked) == {way.asks}
        return done.stdout


@EACH_WAY
def test_a_bad_event_of_a_page_costs_no_other(
    chromium: str, server: Server, project: str, client: Client, way: Way
) -> None:
    said = track(chromium, server, project, way, [], bad=BAD)
    assert stored(client, "t-") == ALL_BUT_THE_BAD, said


@EACH_WAY
def test_a_lost_reply_to_a_page_loses_and_doubles_nothing(
    chromium: str, server: Server, project: str, client: Client, way: Way
) -> None:
    said = track(chromium, server, project, way, ["lost"])
    assert stored(client, "t-") == ALL, said


# A beacon's reply nobody reads, each GET has one event, and RudderStack drops what is answered 413.
SPLITTING = [way for way in WAYS if way.way == "fetch" and way.sdk != "rudderstack"]


@pytest.mark.parametrize("way", SPLITTING, ids=str)
def test_a_page_reads_a_413_and_sends_its_batch_in_parts(chromium: str, small: Server, project: str, way: Way) -> None:
    said = track(chromium, small, project, way, [], padding=PADDING)
    with small.client(small.key(project)) as client:
        assert stored(client, "t-") == ALL, said
    if "413" not in said:
        pytest.skip("the page was so slow that the SDK's timer had split the batch before")
