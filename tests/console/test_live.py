"""GET /api/v1/live against a real server: exact counts, resuming, refusals, revocation, limits, and the end of the server."""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.http.conftest import MakeServer, make_server
from tests.server import Client, Server

__all__ = ["make_server"]
pytestmark = pytest.mark.timeout(300)


class Live:
    """An open stream, read message by message."""

    def __init__(self, url: str, key: str, query: str = "", last_id: str = "") -> None:
        headers = {"Authorization": f"Bearer {key}"} | ({"Last-Event-ID": last_id} if last_id else {})
        self._client = httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False, verify=False)
        self.response = self._client.send(self._client.build_request("GET", f"/api/v1/live{query}"), stream=True)
        self._lines = self.response.iter_lines() if self.response.status_code == 200 else iter(())
        self.last_id = ""
        self.counts: Counter[str] = Counter()
        self.rows: list[dict[str, Any]] = []
        self.refused: list[dict[str, Any]] = []

    def message(self) -> tuple[str, Any]:
        """The next one: its event and its data. Raises StopIteration at the end of the stream."""
        event, data = "message", None
        for line in self._lines:
            if line.startswith("event: "):
                event = line[7:]
            elif line.startswith("id: "):
                self.last_id = line[4:]
            elif line.startswith("data: "):
                data = json.loads(line[6:])
            elif not line and data is not None:
                if event == "message":
                    self.counts.update(data["counts"])
                    self.rows += reversed(data["events"])
                elif event == "refused":
                    self.refused.append(data)
                return event, data
        raise StopIteration

    def until(self, total: int) -> "Live":
        while self.counts.total() < total:
            self.message()
        return self

    def __enter__(self) -> "Live":
        if self.response.status_code == 200:
            self.message()  # where it begins
        return self

    def __exit__(self, *_: object) -> None:
        self.response.close()
        self._client.close()


@pytest.fixture
def key(client: Client) -> str:
    return client.headers["Authorization"].removeprefix("Bearer ")


def send(client: Client, *names: str, **fields: Any) -> None:
    assert client.post("/api/v1/events/batch", json={"events": [{"name": name} | fields for name in names]}).is_success


def test_events_are_told_with_exact_counts_as_they_are_stored(server: Server, client: Client, key: str) -> None:
    with Live(server.url, key) as live:
        assert live.response.headers["content-type"] == "text/event-stream"
        assert live.response.headers["cache-control"] == "no-store"
        assert live.response.headers["x-accel-buffering"] == "no"
        send(client, "a", "b", "a")
        client.post("/api/v1/events", json={"name": "c", "user_id": "u", "value": 2, "properties": {"x": "\n", "y": 1}})
        live.until(4)
        assert live.counts == {"a": 2, "b": 1, "c": 1}
        assert [row["name"] for row in live.rows] == ["a", "b", "a", "c"]
        [row] = [row for row in live.rows if row["name"] == "c"]
        listed = client.get("/api/v1/events", params={"name": "c"}).json()["data"][0]
        assert row == listed | {"source": "flux", "received_at": row["received_at"]}


def test_properties_with_line_breaks_between_them_stay_in_one_message(server: Server, client: Client, key: str) -> None:
    with Live(server.url, key) as live:
        client.post("/api/v1/events", content=b'{"name":"n","properties":{"a":\n1,\r\n"b":"\\n"}}')
        live.until(1)
        assert live.rows[0]["properties"] == {"a": 1, "b": "\n"}


def test_of_many_events_the_newest_are_shown_and_all_are_counted(server: Server, client: Client, key: str) -> None:
    with Live(server.url, key) as live:
        for _ in range(3):
            send(client, *(f"n{number % 7}" for number in range(500)))
        live.until(1500)
        assert live.counts.total() == 1500
        assert len(live.rows) < 1500


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("?name=order.placed", {"order.placed": 1}),
        ("?name=order.*", {"order.placed": 1, "order.paid": 1}),
        ("?user_id=ada", {"order.paid": 1}),
        ("?source=bricqs", {"viewed": 1}),
        ("?tags[plan]=pro", {"tagged": 1}),
        ("?name=order.*&user_id=ada", {"order.paid": 1}),
        ("?environment=prod", {}),
    ],
)
def test_a_filter_means_what_it_means_in_the_list(
    server: Server, client: Client, key: str, query: str, wanted: dict[str, int]
) -> None:
    with Live(server.url, key, query) as live, Live(server.url, key, "?name=the+end") as end:
        client.post("/api/v1/events", json={"name": "order.placed"})
        client.post("/api/v1/events", json={"name": "order.paid", "user_id": "ada"})
        client.post("/api/v1/events", json={"name": "tagged", "tags": {"plan": "pro"}})
        client.post("/api/v1/ingest/events", json={"event_name": "viewed", "participant_id": "p"})
        if wanted:
            live.until(sum(wanted.values()))
        client.post("/api/v1/events", json={"name": "the end"})
        end.until(1)
        assert live.counts == wanted
        if "source" not in query:
            assert client.get(f"/api/v1/events{query}").json()["meta"]["total"] == sum(wanted.values())


@pytest.mark.parametrize("query", ["?from=2025-01-01", "?limit=3", "?nmae=a", "?properties[a]=1", "?tz=x", "?merged=x"])
def test_what_cannot_be_watched_is_refused(server: Server, key: str, query: str) -> None:
    with Live(server.url, key, query) as live:
        assert live.response.status_code == 400


@pytest.mark.parametrize("last_id", ["x", "-1", "1.5", "9" * 20])
def test_an_id_that_was_never_told_is_refused(server: Server, key: str, last_id: str) -> None:
    with Live(server.url, key, last_id=last_id) as live:
        assert live.response.status_code == 400


def test_no_other_project_or_mode_is_shown(server: Server, client: Client, keys: Keys, project: str, key: str) -> None:
    _, other = keys.create(project, "test", "flux", None, clock_ms())
    _, longer = keys.create(f"{project}x", "live", "flux", None, clock_ms())
    with Live(server.url, key) as live:
        for secret in (other, longer):
            with server.client(secret) as stranger:
                send(stranger, "not yours")
        client.post("/api/v1/metrics", json={"name": "m", "value": 1})
        send(client, "yours")
        assert live.until(1).counts == {"yours": 1}


def test_whoever_comes_back_is_told_what_it_missed_once(server: Server, client: Client, key: str) -> None:
    with Live(server.url, key, "?name=a*") as live:
        send(client, "a1", "b", "a2")
        live.until(2)
    send(client, "a1", "a3", "b")
    with Live(server.url, key, "?name=a*", live.last_id) as again:
        send(client, "a4")
        again.until(3)
        assert again.counts == {"a1": 1, "a3": 1, "a4": 1}
        assert sorted(row["name"] for row in again.rows) == ["a1", "a3", "a4"]
    with Live(server.url, key, "?name=a*", again.last_id) as nothing:
        assert nothing.counts == {}


def test_whoever_was_away_for_long_is_told_to_begin_anew(server: Server, client: Client, key: str) -> None:
    hour_ago = str((clock_ms() - 3_600_000) << 20)
    with Live(server.url, key, last_id=hour_ago) as live:
        assert live.message() == ("message", {"events": [], "counts": {}})  # behind the reset, the first message
        assert int(live.last_id) > int(hour_ago)


def test_a_refused_request_is_told_and_so_is_a_refused_event_of_a_batch(
    server: Server, client: Client, key: str
) -> None:
    with Live(server.url, key) as live:
        client.post("/api/v1/events", json={"value": 1}, headers={"User-Agent": "my-sdk/1"})
        client.post("/api/v1/events/batch", json={"events": [{"name": "fine"}, {"name": ""}]})
        while len(live.refused) < 2:
            live.message()
        whole, one = live.refused
        assert (whole["status"], whole["route"], whole["client"]) == (400, "/api/v1/events", "my-sdk/1")
        assert "'name'" in whole["message"] or "name" in whole["message"]
        assert key.startswith(whole["key"])
        assert key not in str(live.refused)
        assert one["message"].startswith("Event 1 of a batch: ")
    with Live(server.url, key) as late:
        while len(late.refused) < 2:
            late.message()
        assert [each["message"] for each in late.refused] == [whole["message"], one["message"]]


def test_the_stream_ends_within_a_second_of_its_keys_revocation(server: Server, keys: Keys, project: str) -> None:
    key, secret = keys.create(project, "live", "flux", None, clock_ms())
    with Live(server.url, secret) as live:
        keys.revoke(key.id, now_ms=clock_ms())
        with pytest.raises(StopIteration):
            live.message()


def test_only_so_many_may_watch_at_once(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_LIVE_CONNECTIONS": "3", "HEADRACE_LIVE_CONNECTIONS_PER_KEY": "2"})
    one, other = server.key("a"), server.key("b")
    with Live(server.url, one), Live(server.url, one), Live(server.url, one) as third:
        assert third.response.status_code == 503
        assert third.response.headers["retry-after"] == "5"
        with Live(server.url, other) as first, Live(server.url, other) as second:
            assert (first.response.status_code, second.response.status_code) == (200, 503)


def test_whoever_leaves_makes_room(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_LIVE_CONNECTIONS": "1"})
    key = server.key("a")
    for _ in range(3):
        deadline = time.monotonic() + 60
        while True:
            with Live(server.url, key) as live:
                if live.response.status_code == 200:
                    break
            assert time.monotonic() < deadline


def test_an_open_stream_does_not_hold_up_the_end_of_the_server(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_SHUTDOWN_TIMEOUT_S": "1000"})  # which it would last
    with Live(server.url, server.key("a")) as live:
        ended = threading.Thread(target=server.stop)
        ended.start()
        with pytest.raises(StopIteration):
            live.until(1)
        ended.join(70)
        assert not ended.is_alive()


def test_a_killed_server_comes_back_and_nothing_acknowledged_is_missing_from_the_counts(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    key, sent = server.key("a"), 0
    with server.client(key) as client, Live(server.url, key) as live:
        send(client, "n", "n")
        live.until(2)
        send(client, "n")
        sent = 3
    server.kill()
    server.start()
    with Live(server.url, key, last_id=live.last_id) as again:
        again.until(sent - live.counts["n"])
        assert live.counts["n"] + again.counts["n"] == sent
    server.kill()


def test_a_reader_that_stalls_is_told_the_exact_counts_in_the_end(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_REPLY_TIMEOUT_S": "1000"})
    key = server.key("a")
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as stalled, server.client(key) as client:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.connect((host, int(port)))
        stalled.sendall(f"GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        stalled.settimeout(60)
        assert stalled.recv(100)
        for _ in range(10):
            send(client, *["n"] * 500, properties={"filler": "x" * 1000})
            client.get("/api/v1/events/count")  # waits until it is stored
        read = b""
        while sum(counts_in(read)) < 5000:
            read += stalled.recv(65536)
        assert sum(counts_in(read)) == 5000


def counts_in(read: bytes) -> Iterator[int]:
    for part in read.split(b'"counts":{"n":')[1:]:
        if b"}" in part:
            yield int(part.partition(b"}")[0])
