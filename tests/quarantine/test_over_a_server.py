"""Bytes of the log's files are changed under a real server: what cannot be read is put aside, and holds nothing else up."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from headrace.log.chunks import positions_of
from headrace.model.event import decode, event_id, render_evt
from tests.crash.test_check import run as check
from tests.forks import run as run_forked
from tests.server import Client, Server


def send(client: Client, *users: str, key: str = "") -> None:
    """One batch, and so one chunk."""
    events = [event_of(user, key) for user in users]
    reply = client.post("/api/v1/events/batch", json={"events": events})
    assert (reply.status_code, reply.json()["data"]) == (201, {"accepted": len(users), "rejected": 0})


def send_one(client: Client, user: str, key: str = "") -> str:
    """The id."""
    reply = client.post("/api/v1/events", json=event_of(user, key))
    assert reply.status_code == 201
    return reply.json()["data"]["id"]


def event_of(user: str, key: str) -> dict[str, object]:
    event = {"name": "sale", "user_id": user, "properties": {"of": user}}
    return {**event, "idempotency_key": key + user} if key else event


def in_log(data: Path) -> dict[str, str]:
    """Id by user, of a log that no server holds."""
    with closing(sqlite3.connect(data / "log.sqlite")) as log:
        chunks = log.execute("SELECT last, count, tail, payloads FROM chunks").fetchall()
    return {
        decode(payload).user_id: render_evt(event_id(position, tail + index))
        for last, count, tail, packed in chunks
        for index, (position, payload) in enumerate(
            zip(positions_of(last, count, 1), msgspec.msgpack.decode(packed), strict=True)
        )
    }


def stored(client: Client) -> dict[str, str]:
    reply = client.get("/api/v1/events", params={"limit": "100"})
    assert reply.status_code == 200, reply.text
    return {row["user_id"]: row["id"] for row in reply.json()["data"]}


def flip(data: Path, old: bytes, new: bytes) -> int:
    """Change these bytes wherever the log's files have them; how often."""
    changed = 0
    for path in data.glob("log.sqlite*"):
        content = path.read_bytes()
        at = content.find(old)
        while at >= 0:
            with path.open("r+b") as file:
                file.seek(at)
                file.write(new)
            changed += 1
            at = content.find(old, at + 1)
    return changed


def checkpoint(data: Path) -> None:
    with closing(sqlite3.connect(data / "log.sqlite")) as log:
        log.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def headrace(data: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace.cli.main", "quarantine", *words, "--data", str(data)]
    return run_forked(command)


def metric(client: Client, name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith(f"headrace_{name} ")).split()[1])


def acknowledged_and_killed(server: Server) -> tuple[str, dict[str, str]]:
    """Three batches that nothing has stored: the key, and the id of each user's event."""
    server.start()
    key = server.key()
    with server.client(key) as client:
        # The store may have to wait for the next flush: the server is killed before.
        send(client, "first")
        stored(client)
        send(client, "anna", "berta", "clara", key="k-")
        send(client, "later")
    server.kill()
    return key, in_log(server.data)


SLOW = {"HEADRACE_FLUSH_INTERVAL_MS": "600000"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, SLOW)
    yield server
    if server.is_running():
        server.kill()


def test_a_changed_event_is_put_aside_and_its_neighbours_are_stored(tmp_path: Path, server: Server) -> None:
    key, sent = acknowledged_and_killed(server)
    checkpoint(tmp_path)
    assert flip(tmp_path, b'"user_id":"berta"', b'"user_id":"bertb"')
    server.start()
    with server.client(key) as client:
        assert stored(client) == {user: sent[user] for user in ("first", "anna", "clara", "later")}
        send(client, "newest")
        assert "newest" in stored(client), "and what comes later is stored"
        ready = client.get("/ready")
        assert ready.status_code == 200
        [problem] = ready.json()["problems"]
        assert "headrace quarantine list" in problem
        assert metric(client, "quarantined_entries") == 1
        reply = client.post("/api/v1/events", json=event_of("berta", "k-"))
        assert reply.json()["data"]["id"] == sent["berta"], "a repeat of it is still one"
        assert reply.json()["data"]["user_id"] == "berta", "and shows nothing of what the disk made of it"
    [line] = server.said("entries_put_aside")
    assert (line["entries"], line["level"]) == (1, "error")
    assert line["first"] == sent["berta"].removeprefix("evt_").replace("-", "")
    code, report = check(tmp_path)
    assert code == 1
    assert report.quarantined == 1
    assert [problem[:40] for problem in report.problems] == ["1 acknowledged entries are put aside, be"]
    listed = headrace(tmp_path, "list").stdout.splitlines()
    assert len(listed) == 2
    assert listed[1].split("\t")[0] == line["first"]
    [exported] = map(json.loads, headrace(tmp_path, "export").stdout.splitlines())
    assert '"user_id":"bertb"' in exported["text"]
    assert exported["id"] == line["first"]


def test_what_can_be_read_again_is_stored_under_its_id_and_counts_once(tmp_path: Path, server: Server) -> None:
    key, sent = acknowledged_and_killed(server)
    checkpoint(tmp_path)
    flip(tmp_path, b'"user_id":"berta"', b'"user_id":"bertb"')
    server.start()
    with server.client(key) as client:
        assert "berta" not in stored(client)
        one = headrace(tmp_path, "retry", sent["berta"])
        assert (one.returncode, one.stdout) == (1, "")
        assert "--as-is" in one.stderr
        os.kill(server.pid, signal.SIGSTOP)
        checkpoint(tmp_path)
        assert flip(tmp_path, b'"user_id":"bertb"', b'"user_id":"berta"')
        os.kill(server.pid, signal.SIGCONT)
        again = headrace(tmp_path, "retry", "--all")
        assert (again.returncode, again.stderr) == (0, "")
        assert stored(client) == sent
        assert client.get("/ready").json() == {"status": "ready"}
        assert metric(client, "quarantined_entries") == 0
    assert server.stop() == 0
    assert check(tmp_path)[1].problems == []
    assert headrace(tmp_path, "list").stdout.count("\n") == 1


def test_what_is_stored_after_all_is_reacted_to_once(tmp_path: Path, server: Server) -> None:
    rules = {"facts": [{"id": "sold", "event": "sale", "fact_type": "sold", "points": 10}]}
    server.start()
    key = server.key()
    with server.client(key) as client:
        assert client.put("/api/v1/rules", json=rules).status_code == 200
    server.kill()
    _, sent = acknowledged_and_killed(server)
    checkpoint(tmp_path)
    flip(tmp_path, b'"user_id":"berta"', b'"user_id":"bertb"')
    server.start()

    def points(client: Client, user: str) -> float:
        reply = client.get(f"/api/v1/participants/{user}")
        return reply.json()["data"]["points"]["balance"] if reply.status_code == 200 else 0

    with server.client(key) as client:
        assert (points(client, "anna"), points(client, "berta")) == (10, 0)
        (tmp_path / "export").write_text(headrace(tmp_path, "export").stdout.replace("bertb", "berta"))
        for _ in range(2):
            headrace(tmp_path, "retry", "--file", str(tmp_path / "export"))
            assert (points(client, "anna"), points(client, "berta")) == (10, 10)
    server.kill()
    server.start()
    with server.client(key) as client:
        assert points(client, "berta") == 10
        assert stored(client) == sent
    assert server.stop() == 0


@pytest.mark.parametrize("how", ["as it is", "corrected", "without a server"])
def test_an_operator_stores_what_was_read_or_what_he_has_corrected(tmp_path: Path, server: Server, how: str) -> None:
    key, sent = acknowledged_and_killed(server)
    checkpoint(tmp_path)
    flip(tmp_path, b'"user_id":"berta"', b'"user_id":"bertb"')
    server.start()
    with server.client(key) as client:
        assert "berta" not in stored(client)
    if how == "without a server":
        assert server.stop() == 0
    words = ["retry", "--all", "--as-is"]
    if how == "corrected":
        (tmp_path / "export").write_text(headrace(tmp_path, "export").stdout.replace("bertb", "berta"))
        words = ["retry", "--file", str(tmp_path / "export")]
    done = headrace(tmp_path, *words)
    assert (done.returncode, done.stderr if how != "without a server" else "") == (0, "")
    if how == "without a server":
        server.start()
    with server.client(key) as client:
        name = "berta" if how == "corrected" else "bertb"
        assert stored(client) == {user.replace("berta", name): event_id for user, event_id in sent.items()}
    assert server.stop() == 0
    assert check(tmp_path)[1].problems == []


def test_what_is_dropped_stays_dropped_and_a_repeat_of_it_is_a_new_event(tmp_path: Path, server: Server) -> None:
    key, sent = acknowledged_and_killed(server)
    checkpoint(tmp_path)
    flip(tmp_path, b'"user_id":"berta"', b'"user_id":"bertb"')
    server.start()
    with server.client(key) as client:
        assert len(stored(client)) == 4
        assert headrace(tmp_path, "drop", "evt_" + "0" * 32).returncode == 2
        assert headrace(tmp_path, "drop", sent["berta"]).stdout == "dropped 1\n"
        assert client.get("/ready").json() == {"status": "ready"}
    server.kill()
    assert check(tmp_path)[1].problems == []
    server.start()
    with server.client(key) as client:
        assert len(stored(client)) == 4
        assert send_one(client, "anna", key="k-") == sent["anna"]
        again = send_one(client, "berta", key="k-")
        assert again != sent["berta"]
        assert stored(client) == {**sent, "berta": again}
    assert not any(line["event"] in ("store_lost_events", "log_lost_events") for line in server.logs)
    assert server.stop() == 0


def test_bytes_that_are_no_json_reach_nobodys_page(tmp_path: Path, server: Server) -> None:
    key, _ = acknowledged_and_killed(server)
    checkpoint(tmp_path)
    # Inside of a string that holds JSON: the row itself would still be one.
    assert flip(tmp_path, b'{\\"of\\":\\"berta\\"}', b'{\\"of\\":\\"berta\\"!')
    server.start()
    with server.client(key) as client:
        assert set(stored(client)) == {"first", "anna", "clara", "later"}
    assert server.stop() == 0


def test_a_damaged_page_of_the_log_holds_up_no_event_that_lies_elsewhere(tmp_path: Path, server: Server) -> None:
    server.start()
    key = server.key()
    with server.client(key) as client:
        for number in range(60):
            send(client, *(f"user-{number}-{each}" for each in range(5)))
    server.kill()
    checkpoint(tmp_path)
    path = tmp_path / "log.sqlite"
    pages = bytearray(path.read_bytes())
    middle = pages.find(b"user-30-") // 4096 * 4096
    pages[middle : middle + 4096] = bytes(4096)
    path.write_bytes(pages)
    server.start()
    with server.client(key) as client:
        count = client.get("/api/v1/events/count").json()["data"]["total"]
        assert 200 < count < 300
        send(client, "newest")
        assert "newest" in stored(client)
        assert client.get("/ready").status_code == 200
        assert metric(client, "quarantined_entries") > 0
    assert server.said("log_was_torn")
    server.kill()
    server.start()
    with server.client(key) as client:
        assert client.get("/api/v1/events/count").json()["data"]["total"] == count + 1
    assert server.stop() == 0
    code, report = check(tmp_path)
    assert code == 1
    assert len(report.problems) == 1, report.problems
