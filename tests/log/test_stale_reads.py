"""A server that answers queries while its log is away (`HEADRACE_STALE_READS=on`), and says so: over every route, on a real Valkey."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp_types import TextContent

from headrace.mcp.server import call
from headrace.mcp.tools import tools
from tests.console.pages import Page
from tests.forks import run as run_forked
from tests.http.routes import MOUNTED, READ, STREAMS, UNKNOWN_ID, Route, send
from tests.server import Client, Server
from tests.valkey_server import Valkey, own_valkey
from tests.waiting import until

__all__ = ["own_valkey"]

fromisoformat = datetime.fromisoformat
KNOWN = {tool.name: tool for tool in tools()}
COUNT = "/api/v1/events/count"
BODIES: dict[str, Any] = {
    "/api/v1/query": {"measure": "users"},
    "/api/v1/query/funnel": {"steps": [{"event": "n"}, {"event": "m"}]},
    "/api/v1/query/retention": {"first": {"event": "n"}},
    "/api/v1/query/paths": {"start": {"event": "n"}},
}
QUESTIONS = (*READ, *(each._replace(body=BODIES[each.path]) for each in MOUNTED if each.path in BODIES))
# They need the log, and are not answered stale: a file outlives its headers, and the status is of the log, too.
NEVER_STALE = {"/api/v1/export", "/api/v1/status"}
CHANGES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/api/v1/events", {"name": "n", "user_id": "u"}),
    ("POST", "/api/v1/ingest/events/sync", {"event_name": "n", "participant_id": "u"}),
    ("POST", "/v1/admin/events/replay", {"filter": {"event": "n"}}),
    ("POST", "/v1/admin/events/replay", {"eventIds": [UNKNOWN_ID], "dryRun": True}),
    ("POST", "/api/v1/participants/u/points", {"points": 1, "reason": "r", "key": "k"}),
    ("POST", f"/api/v1/runs/{UNKNOWN_ID}/cancel", None),
    ("PUT", "/api/v1/rules", {}),
    ("DELETE", "/api/v1/users/u", None),
    ("DELETE", "/api/v1/users/u/aliases/v", None),
)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, own_valkey: Valkey) -> Iterator[dict[str, Server]]:
    """One with the setting, and one without it."""
    running = {
        stale: Server(
            tmp_path_factory.mktemp(stale),
            {"HEADRACE_LOG_URL": f"{own_valkey.url}/{number}"}
            | ({"HEADRACE_STALE_READS": "on"} if stale == "on" else {}),
        )
        for number, stale in enumerate(("on", "off"))
    }
    for each in running.values():
        each.begin()
    for each in running.values():
        each.wait_until_listening()
    yield running
    assert [each.stop() for each in running.values()] == [0, 0]


@pytest.fixture
def clients(servers: dict[str, Server], own_valkey: Valkey) -> Iterator[dict[str, Client]]:
    """For a project of the test's own, with an event in it."""
    keys = {stale: server.key(f"p{own_valkey.pid}") for stale, server in servers.items()}
    with ExitStack() as stack:
        found = {stale: stack.enter_context(server.client(keys[stale])) for stale, server in servers.items()}
        for client in found.values():
            assert client.post("/api/v1/events", json={"name": "n", "user_id": "u"}).status_code == 201
        yield found


def gone(valkey: Valkey, clients: dict[str, Client]) -> None:
    """The log is away, and the servers have noticed."""
    valkey.kill()
    for client in clients.values():
        until(lambda client=client: client.get("/ready").status_code == 503)


def back(valkey: Valkey, clients: dict[str, Client]) -> None:
    """The log is there, and the servers store and react again."""
    valkey.start()
    for client in clients.values():
        until(lambda client=client: client.get("/ready").status_code == 200)
        until(lambda client=client: client.get("/api/v1/participants").status_code == 200)


def is_stale(reply: httpx.Response) -> bool:
    """Whether a reply says that it is; it then says all of it."""
    if "headrace-stale" not in reply.headers:
        assert "headrace-complete-until" not in reply.headers
        return False
    assert reply.headers["headrace-stale"] == "true"
    assert reply.headers["cache-control"] == "no-store"
    assert "etag" not in reply.headers
    assert reply.headers["headrace-complete-until"] > "2020"
    return True


def metric(client: Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    [line] = [each for each in lines if each.startswith(f"{name} ")]
    return float(line.split()[1])


@pytest.mark.timeout(300)
def test_what_gets_503_while_the_log_is_away_is_answered_with_the_setting_and_says_that_it_is_stale(
    clients: dict[str, Client], own_valkey: Valkey
) -> None:
    def ask(route: Route) -> dict[str, httpx.Response]:
        return {stale: send(client, route) for stale, client in clients.items()}

    fresh = {str(route): ask(route) for route in QUESTIONS}
    for route, replies in fresh.items():
        assert replies["on"].status_code == replies["off"].status_code < 500, route
        assert not any(map(is_stale, replies.values())), route
    before = metric(clients["on"], "headrace_stale_answers_total")
    gone(own_valkey, clients)
    needing = 0
    for route in QUESTIONS:
        replies = ask(route)
        needs_log = replies["off"].status_code == 503
        assert needs_log or replies["off"].status_code == fresh[str(route)]["off"].status_code, route
        assert not is_stale(replies["off"]), route
        is_answered = needs_log and route.template not in NEVER_STALE
        assert is_stale(replies["on"]) == is_answered, route
        expected = fresh[str(route)]["on"] if is_answered else replies["off"]
        assert replies["on"].status_code == expected.status_code, route
        needing += is_answered
    assert needing > 30
    assert metric(clients["on"], "headrace_stale_answers_total") == before + needing
    assert metric(clients["off"], "headrace_stale_answers_total") == 0
    back(own_valkey, clients)
    for route in QUESTIONS:
        replies = ask(route)
        assert replies["on"].status_code == replies["off"].status_code == fresh[str(route)]["on"].status_code, route
        assert not any(map(is_stale, replies.values())), route


@pytest.mark.timeout(300)
def test_nothing_is_changed_upon_a_stale_answer_and_no_stream_begins_with_one(
    clients: dict[str, Client], own_valkey: Valkey
) -> None:
    gone(own_valkey, clients)
    for stale, client in clients.items():
        for method, path, body in CHANGES:
            reply = client.request(method, path, json=body)
            assert reply.status_code == 503, (stale, method, path, reply.text)
            assert not is_stale(reply)
        for path in STREAMS:
            with client.stream("GET", path) as reply:
                assert reply.status_code == 503, (stale, path)
                assert not is_stale(reply)
    back(own_valkey, clients)


@pytest.mark.timeout(300)
def test_a_stale_answer_has_no_tag_and_is_never_said_to_be_the_same_as_before(
    clients: dict[str, Client], servers: dict[str, Server], own_valkey: Valkey
) -> None:
    client = clients["on"]
    fresh = client.get(COUNT)
    known = {"If-None-Match": fresh.headers["etag"]}
    assert client.get(COUNT, headers=known).status_code == 304
    gone(own_valkey, clients)
    for headers in ({}, known, {"If-None-Match": "*"}):
        stale = client.get(COUNT, headers=headers)
        assert (stale.status_code, stale.json()) == (200, fresh.json())
        assert is_stale(stale)
    head = client.head(COUNT, headers=known)
    assert (head.status_code, is_stale(head)) == (200, True)
    with Page(servers["on"].url) as page:
        assert page.log_in(client.headers["Authorization"].removeprefix("Bearer ")).status_code == 201
        shown = page.ask(f"/console{COUNT}", headers=known)
        assert (shown.status_code, is_stale(shown)) == (200, True), "by the console's session, too"
    back(own_valkey, clients)
    same = client.get(COUNT, headers=known)
    assert (same.status_code, is_stale(same)) == (304, False)


@pytest.mark.timeout(300)
def test_with_the_log_there_the_setting_changes_nothing_and_what_was_acknowledged_is_in_the_next_answer(
    clients: dict[str, Client], own_valkey: Valkey
) -> None:
    client = clients["on"]
    assert client.get("/ready").json() == {"status": "ready", "log": "fsync", "stale_reads": "on"}
    assert clients["off"].get("/ready").json() == {"status": "ready", "log": "fsync"}
    assert [metric(each, "headrace_stale_reads") for each in clients.values()] == [1, 0]
    last = ""
    for number in range(20):
        sent = client.post("/api/v1/events", json={"name": "n", "user_id": f"u{number}"})
        last = sent.json()["data"]["id"]
        counted = client.get(COUNT)
        assert counted.json()["data"]["total"] == number + 2
        assert not is_stale(counted)
    received = client.get(f"/api/v1/events/{last}").json()["data"]["received_at"]
    gone(own_valkey, clients)
    stale = client.get(COUNT)
    assert is_stale(stale)
    assert stale.json()["data"]["total"] == 21
    assert fromisoformat(stale.headers["headrace-complete-until"]) >= fromisoformat(received)
    assert client.get("/ready").json()["stale_reads"] == "on", "it accepts no events, and answers queries"
    back(own_valkey, clients)
    assert client.post("/api/v1/events", json={"name": "n", "user_id": "u"}).status_code == 201
    assert client.get(COUNT).json()["data"]["total"] == 22


@pytest.mark.timeout(300)
def test_commands_and_tools_for_language_models_say_that_what_they_pass_on_is_stale(
    clients: dict[str, Client], servers: dict[str, Server], own_valkey: Valkey
) -> None:
    client, url = clients["on"], servers["on"].url
    key = client.headers["Authorization"].removeprefix("Bearer ")
    project = f"p{own_valkey.pid}"

    def tool(name: str, **arguments: Any) -> tuple[list[str], bool]:
        result = asyncio.run(call(KNOWN, url, key, name, arguments))
        return [each.text for each in result.content if isinstance(each, TextContent)], bool(result.is_error)

    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        data = ("--project", project, "--data", str(servers["on"].data))
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        return run_forked([sys.executable, "-m", "headrace.cli.main", *arguments, *data], environ)

    fresh, failed = tool("query", measure="count")
    assert (len(fresh), failed) == (1, False)
    assert command("journeys", "list").stderr == ""
    gone(own_valkey, clients)
    [notice, stale], failed = tool("query", measure="count")
    assert notice.startswith("This answer is stale: ")
    assert "received before 20" in notice
    assert (json.loads(stale)["data"], failed) == (json.loads(fresh[0])["data"], False)
    [missing], failed = tool("event", id=UNKNOWN_ID)
    assert failed
    assert missing.startswith("The server answered 404: There is no event")
    assert "This answer is stale: " in missing
    listed = command("journeys", "list")
    assert listed.returncode == 0
    assert listed.stderr.startswith("headrace: This answer is stale: ")
    back(own_valkey, clients)
    assert tool("query", measure="count") == (fresh, False)


def test_a_log_in_the_data_folder_can_always_be_asked_so_the_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="HEADRACE_STALE_READS=on needs HEADRACE_LOG_URL"):
        Server(tmp_path, {"HEADRACE_STALE_READS": "on"}).start()
