"""What a machine does to files: parts that vanish, a log whose end is torn, a disk that is full."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Generator, Mapping
from pathlib import Path

import pytest

from tests.forks import run as run_forked
from tests.server import Client, Server
from tests.waiting import until


def send(client: Client, count: int, start: int = 0) -> dict[str, str]:
    """Acknowledged events: id to user."""
    sent: dict[str, str] = {}
    for number in range(start, start + count):
        user = f"user-{number}"
        reply = client.post("/api/v1/events", json={"name": "disk", "user_id": user})
        assert reply.status_code == 201
        sent[reply.json()["data"]["id"]] = user
    return sent


def stored(client: Client) -> dict[str, str]:
    """Stored events: id to user; each once."""
    rows: list[dict[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        reply = client.get("/api/v1/events", params={"limit": "100", "cursor": cursor}).json()
        rows += reply["data"]
        cursor = reply["meta"].get("next_cursor")
    assert set(Counter(row["id"] for row in rows).values()) <= {1}, "stored twice"
    return {row["id"]: row["user_id"] for row in rows}


def parts(data: Path) -> list[Path]:
    """The store's folders of event parts, youngest last."""
    found = [path.parent for path in (data / "store").rglob("columns.txt") if "position" in path.read_text()]
    return sorted(found, key=lambda path: path.stat().st_mtime)


@pytest.mark.parametrize("how_many", [1, 100])
def test_parts_that_the_disk_lost_come_back_from_the_log(tmp_path: Path, how_many: int) -> None:
    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        sent: dict[str, str] = {}
        for flush in range(3):
            sent |= send(client, 20, flush * 20)
            assert stored(client) == sent
    server.kill()
    for part in parts(tmp_path)[-how_many:]:
        shutil.rmtree(part)

    server = Server(tmp_path).start()
    with server.client(key) as client:
        assert stored(client) == sent
        sent |= send(client, 5, 1000)
        assert stored(client) == sent
    # The youngest folder alone may be one that a merge had made superfluous.
    assert how_many == 1 or any(line.get("event") == "store_lost_events" for line in server.logs)
    assert server.stop() == 0


def test_a_log_whose_last_write_is_torn_opens_with_everything_before_it(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        sent = send(client, 50)
    server.kill()
    with (tmp_path / "log.sqlite-wal").open("ab") as wal:
        wal.write(os.urandom(5000))  # a frame that was being written when the power went

    server = Server(tmp_path).start()
    with server.client(key) as client:
        assert stored(client) == sent
        sent |= send(client, 5, 1000)
        assert stored(client) == sent
    assert server.stop() == 0


def mount(folder: Path, size: str, *options: str) -> None:
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join((f"size={size}", *options)), "headrace-test", str(folder)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")


@contextlib.contextmanager
def server_on(disk: Path, size: str, data: Path, settings: Mapping[str, str] = {}) -> Generator[Server]:
    """A server, not yet started, that keeps all of its data or a part on a small disk."""
    mount(disk, size)
    server = Server(data, settings)
    try:
        yield server
    finally:
        if server.url:
            server.kill()
        subprocess.run(["umount", "-l", str(disk)], check=False, capture_output=True)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", ["store", "all"])
def test_a_full_disk_loses_nothing_acknowledged_and_ends_when_there_is_room(tmp_path: Path, what: str) -> None:
    """`store`: the log has room, so intake goes on. `all`: the log is on the full disk too, so intake is refused."""
    data = tmp_path / "data"
    data.mkdir()
    disk = data / "store" if what == "store" else data
    with server_on(disk, "48m", data) as server:
        server.start()
        key = server.key()
        sent: dict[str, str] = {}
        refused = 0
        with server.client(key) as client:
            padding = "".join(os.urandom(1).hex() for _ in range(100_000))
            number, end = 0, 2000
            while number < end and refused < 5:
                reply = client.post("/api/v1/events", json=big(number, padding))
                if reply.status_code == 201:
                    sent[reply.json()["data"]["id"]] = f"big-{number}"
                else:
                    assert reply.status_code == 503
                    assert int(reply.headers["Retry-After"]) > 0
                    refused += 1
                number += 1
                if what == "store" and number % 10 == 0:
                    # Full, and intake goes on; but old files that the engine unlinks may give it room once more.
                    end = min(end, number + 30) if client.get("/ready").status_code == 503 else 2000
            failing = client.get("/ready")
        if what == "all":
            assert refused == 5
        else:
            assert refused == 0
            assert failing.status_code == 503
        mount(disk, "2g", "remount")
        wait_until_ready(server)
        with server.client(key) as client:
            found = stored(client)
            assert {event_id: found.get(event_id) for event_id in sent} == sent
            sent |= send(client, 5, 10_000)
            for event_id, user in list(sent.items())[:50:2]:
                reply = client.post("/api/v1/events", json=big(int(user.removeprefix("big-")), padding))
                assert (reply.status_code, reply.json()["data"]["id"]) == (201, event_id), "a repeat is known"
            assert len(stored(client)) == len(found) + 5
        assert server.stop() == 0


def big(number: int, padding: str) -> dict[str, object]:
    """An event that fills a disk; every other one has a key."""
    properties = {"x": padding[number:] + str(number)}
    key = {} if number % 2 else {"idempotency_key": f"key-{number}"}
    return {"name": "disk", "user_id": f"big-{number}", "properties": properties} | key


def wait_until_ready(server: Server) -> None:
    with server.client() as client:
        until(lambda: client.get("/ready").status_code == 200)


def fill(disk: Path) -> Path:
    """A file that takes what room there is."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as ballast:
        while ballast.write(bytes(4096)):
            pass
    return disk / "ballast"


def said(server: Server, *events: str) -> bool:
    return any(line.get("event") in events for line in server.logs)


def wait_until_counted(client: Client) -> None:
    until(lambda: client.get("/api/v1/events/count").status_code == 200)


# Each trim writes the known keys down, and each flush commits.
HASTY = {"HEADRACE_LOG_KEEP_S": "0.001", "HEADRACE_FRESHNESS_TIMEOUT_S": "5"}


@pytest.mark.timeout(300)
def test_no_room_for_control_holds_up_no_intake_and_loses_nothing(tmp_path: Path) -> None:
    data, disk = tmp_path / "data", tmp_path / "disk"
    data.mkdir(mode=0o700)
    with server_on(disk, "24m", data, HASTY) as server:
        (disk / "control.sqlite").touch(0o600)
        (data / "control.sqlite").symlink_to(disk / "control.sqlite")
        server.start()
        key = server.key()
        with server.client(key) as client:
            sent = send_keyed(client, range(20))
            wait_until_counted(client)
            ballast = fill(disk)
            start = 20
            # What it writes over and over fits into its write-ahead file, so it may do without room.
            while start < 400 and not said(server, "worker_failed"):
                sent |= send_keyed(client, range(start, start + 20))
                start += 20
            sent |= send_keyed(client, range(start, start + 20))
            ballast.unlink()
            wait_until_ready(server)
            wait_until_counted(client)
            assert stored(client) == sent
            assert send_keyed(client, range(start + 20)) == sent
        assert server.stop() == 0


@pytest.mark.timeout(300)
def test_no_room_for_known_keys_refuses_keyed_events_alone_until_there_is(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    disk = data / "log.keys"
    with server_on(disk, "24m", data, HASTY) as server:
        server.start()
        key = server.key()
        body = {"name": "disk", "user_id": "retried", "idempotency_key": "retried"}
        probe = {"name": "disk", "user_id": "probe", "idempotency_key": "probe"}
        with server.client(key) as client:
            sent = send_keyed(client, range(20))
            wait_until_counted(client)
            ballast = fill(disk)
            number = 1000
            while not said(server, "keys_not_written", "keys_not_indexed"):
                sent |= send(client, 20, number)
                number += 20
                reply = client.post("/api/v1/events", json=body)
                assert reply.status_code == 201 or int(reply.headers["Retry-After"]) > 0
            sent |= send(client, 20, number)
            ballast.unlink()
            for each in (body, probe):
                while (reply := client.post("/api/v1/events", json=each)).status_code != 201:
                    assert reply.status_code == 503
                sent[reply.json()["data"]["id"]] = str(each["user_id"])
            sent |= send_keyed(client, range(20, 40))
            wait_until_counted(client)
            assert stored(client) == sent
            assert send_keyed(client, range(40)).items() <= sent.items()
            assert stored(client) == sent
        server.kill()
        server.start()
        with server.client(key) as client:
            assert send_keyed(client, range(40)).items() <= sent.items()
            assert stored(client) == sent
        assert server.stop() == 0


def send_keyed(client: Client, numbers: range) -> dict[str, str]:
    """As `send`, each with a key of its own."""
    sent: dict[str, str] = {}
    for number in numbers:
        user = f"keyed-{number}"
        reply = client.post("/api/v1/events", json={"name": "disk", "user_id": user, "idempotency_key": user})
        assert reply.status_code == 201, reply.text
        sent[reply.json()["data"]["id"]] = user
    return sent


def stored_events(client: Client) -> float:
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("headrace_stored_events")).split()[1])


@pytest.mark.timeout(300)
def test_a_full_disk_with_a_little_room_takes_what_fits_in(tmp_path: Path) -> None:
    """As much as one insert moves at once does not fit: half of it may, and so on."""
    data = tmp_path / "data"
    data.mkdir()
    settings = {"HEADRACE_FLUSH_INTERVAL_MS": "60000", "HEADRACE_FRESHNESS_TIMEOUT_S": "5"}
    with server_on(data / "store", "64m", data, settings) as server:
        server.start()
        key = server.key()
        with server.client(key) as client:
            send(client, 1)
            wait_until_counted(client)
            room = shutil.disk_usage(data / "store").free
            with (data / "store" / "ballast").open("wb") as ballast:
                ballast.write(bytes(room - 7 * 1024 * 1024))
            padding = "".join(os.urandom(1).hex() for _ in range(100_000))
            before = stored_events(client)
            numbers = range(100)  # 20 MB, and so two inserts
            for number in numbers:
                assert client.post("/api/v1/events", json=big(number, padding)).status_code == 201
            client.get("/api/v1/events/count")  # waits for them, and gives up
            until(lambda: stored_events(client) != before)
            assert server.said("portion_halved")
            (data / "store" / "ballast").unlink()
            wait_until_ready(server)
            wait_until_counted(client)
            assert len(stored(client)) == 1 + len(numbers)
        assert server.stop() == 0


@pytest.mark.timeout(300)
def test_a_leaked_key_can_be_revoked_on_a_full_disk(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with server_on(data, "48m", data) as server:
        server.start()
        leaked, key = server.key(), server.key()
        with server.client(leaked) as client:
            send(client, 1)
            fill(data)
            padding = "x" * 100_000
            while client.post("/api/v1/events", json=big(1, padding)).status_code == 201:
                pass
            command = [sys.executable, "-m", "headrace.cli.main", "keys", "revoke", "--stdin", "--data", str(data)]
            done = run_forked(command, given=leaked)
            assert done.returncode == 0, done.stderr
            until(lambda: client.get("/api/v1/events").status_code == 401)
        (data / "ballast").unlink()
        wait_until_ready(server)
        with server.client(key) as client:
            send(client, 1, 1)
        assert server.stop() == 0
