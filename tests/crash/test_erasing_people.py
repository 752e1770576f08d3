"""A person who was erased is in no figure, no list and no file, whatever crashes; through real processes and the real store."""

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.crash.people import ALICE, SECRETS, figures, fill, people, send, set_up
from tests.crash.test_check import run as check
from tests.server import Client, Server
from tests.waiting import until

SETTINGS = {"HEADRACE_WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}
STEPS = ("listed", "detached", "forgotten", "erased", "undelivered", "redacted", "overwritten")


def receipt(client: Client, erasure_id: str) -> dict[str, Any]:
    reply = client.get(f"/api/v1/erasures/{erasure_id}")
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def wait_until_done(client: Client, erasure_id: str) -> dict[str, Any]:
    return until(lambda: receipt(client, erasure_id), lambda found: found["status"] == "done")


def erase(client: Client, user_id: str) -> str:
    reply = client.delete(f"/api/v1/users/{user_id}")
    assert reply.status_code == 202, reply.text
    return reply.json()["data"]["id"]


def settle(client: Client) -> None:
    """Wait until what journeys emit has been stored: for each that joined, one event."""

    def by_name() -> dict[str, int]:
        return client.get("/api/v1/events/count", params={"group_by": "name"}).json()["data"]["groups"]

    until(by_name, lambda counts: counts.get("welcome.sent", 0) >= counts.get("joined", 0))


class Filled(NamedTuple):
    """A data folder with everybody in it, and keys: of a project with Alice, of one without her, of the first one's other mode.

    other_mode: the last one's figures, before anybody was erased.
    """

    data: Path
    keys: tuple[str, str, str]
    other_mode: dict[str, Any]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """Of a server that has ended: to copy, in place of filling one for each test."""
    server = Server(tmp_path_factory.mktemp("filled") / "data", SETTINGS).start()
    keys = (server.key("whole"), server.key("spared"), server.key("whole", "test"))
    for key, without in zip(keys, ("", "alice", ""), strict=True):
        with server.client(key) as client:
            set_up(client)
            fill(client, without=without)
            settle(client)
    with server.client(keys[2]) as client:
        other_mode = figures(client)
    assert server.stop() == 0, server.logs[-5:]
    return Filled(server.data, keys, other_mode)


@pytest.fixture(params=["served", *STEPS])
def server(filled: Filled, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """On a copy of the filled folder. Killed right after the step, unless it is just served."""
    shutil.copytree(filled.data, tmp_path / "data", symlinks=True)
    command = [sys.executable, "-m", "tests.crash.serve_and_die", f"{request.param}:1"]
    server = Server(tmp_path / "data", SETTINGS, None if request.param == "served" else command).start()
    yield server
    if server.is_running():
        assert server.stop() == 0, server.logs[-5:]


@pytest.mark.timeout(300)
def test_whatever_crashes_an_erased_person_is_as_one_that_never_was(filled: Filled, server: Server) -> None:
    keys = filled.keys
    with server.client(keys[0]) as client:
        try:
            done = wait_until_done(client, erase(client, ALICE[1]))
        except httpx.TransportError:  # it may die before it has answered what it has made durable
            assert server.wait() == -signal.SIGKILL
            server = Server(server.data, SETTINGS).start()
            client.base_url = server.url
            [asked] = client.get("/api/v1/erasures").json()["data"]
            done = wait_until_done(client, asked["id"])
    try:
        with server.client(keys[0]) as client, server.client(keys[1]) as spared, server.client(keys[2]) as test_mode:
            assert done["removed"]["events"] == len(people()["alice"]) + 1, "with the event that a journey emitted"
            assert done["removed"]["ids"] == len(ALICE)
            places = ("memberships", "facts", "progress", "badges", "points_entries", "journey_runs", "grants")
            assert all(done["removed"][place] for place in places)
            without_her = figures(spared)
            assert figures(client) == without_her
            assert figures(test_mode) == filled.other_mode
            for user_id in ALICE:
                assert client.get(f"/api/v1/users/{user_id}").status_code == 404
                assert client.delete(f"/api/v1/users/{user_id}").status_code == 404
                assert client.get(f"/api/v1/participants/{user_id}").status_code == 404
            deliveries = client.get("/api/v1/webhooks/hook/deliveries", params={"limit": 100}).text
            assert not any(secret in deliveries for secret in SECRETS)
            # A retry brings nothing back, and a grant's key stays used.
            send(client, people()["alice"])
            assert figures(client) == without_her
            grant = {"points": 7, "reason": f"for {ALICE[0]}", "key": f"grant-{ALICE[0]}"}
            assert client.post(f"/api/v1/participants/{ALICE[0]}/points", json=grant).status_code == 409
            # An event of the same id is about somebody new.
            send(client, [{"type": "track", "event": "page.viewed", "userId": ALICE[0], "messageId": "new"}])
            person = client.get(f"/api/v1/users/{ALICE[0]}").json()["data"]
            assert (person["ids"], person["traits"], person["events"]) == ([ALICE[0]], {}, 1)
            assert person["participant"]["points"]["balance"] == 1
        code, report = check(server.data)
        assert (code, report.problems) == (0, [])
    finally:
        assert server.stop() == 0, server.logs[-5:]
