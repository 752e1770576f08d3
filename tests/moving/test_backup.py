"""Backups beside a server that takes events, and what they restore to."""

import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.forks import run as run_forked
from tests.moving.test_commands import COMMAND, environ
from tests.moving.test_export import exported
from tests.server import Client, Server

RULES = """
facts:
  - {id: bought, event: order, fact_type: purchase}
challenges:
  - {id: buyer, title: Buyer, fact: purchase, goal: 1000000}
"""
ADMIN = {"HEADRACE_ADMIN_KEY": "secret"}


def command(*words: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_forked([*COMMAND, *map(str, words)], environ())
    assert done.returncode == code, done.stderr
    return done


def back_up(data: Path, folder: Path, *more: str) -> dict[str, Any]:
    return json.loads(command("backup", folder, *more, "--data", data).stdout)


def restore(folder: Path, data: Path, *more: str | Path) -> dict[str, Any]:
    return json.loads(command("restore", folder, *more, "--data", data).stdout)


def send(client: Client, first: int, count: int = 50) -> None:
    events = [
        {"name": "order", "user_id": "u", "value": first + n, "idempotency_key": f"k{first + n}"} for n in range(count)
    ]
    assert client.post("/api/v1/events/batch", json=events).status_code == 201


@contextmanager
def load(server: Server) -> Iterator[list[int]]:
    """Sends batches until the end, some dozens a second; how many events have been acknowledged is the list's last."""
    acknowledged, is_over = [0], threading.Event()

    def work() -> None:
        with server.client("secret") as client:
            while not is_over.wait(0.02):  # what is sent is exported, reacted to and compared later
                send(client, acknowledged[-1])
                acknowledged.append(acknowledged[-1] + 50)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield acknowledged
    finally:
        is_over.set()
        thread.join()


def progress_of(client: Client) -> float:
    [challenge] = client.get("/api/v1/participants/u").json()["data"]["challenges"]
    return challenge["progress"]


def test_a_backup_under_load_restores_to_all_that_was_acknowledged_and_reacted_to_once(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", ADMIN).start()
    with server.client("secret") as client:
        client.put("/api/v1/rules", content=RULES)
        send(client, 0)  # so that somebody has progress
    with load(server) as acknowledged:
        while len(acknowledged) < 20:
            time.sleep(0.01)
        before = acknowledged[-1]
        first = back_up(server.data, tmp_path / "backups")
        while acknowledged[-1] < before + 500:
            time.sleep(0.01)
        between = acknowledged[-1]
        second = back_up(server.data, tmp_path / "backups")
    server.kill()
    for snapshot, least in ((first, before), (second, between)):
        data = tmp_path / snapshot["snapshot"]
        done = restore(tmp_path / "backups", data, "--snapshot", snapshot["snapshot"])
        assert done["erased"] == 0
        restored = Server(data, ADMIN).start()
        report = json.loads(command("check", "--data", data).stdout)
        assert report["problems"] == []
        with restored.client("secret") as client:
            values = sorted({row["value"] for row in exported(client)})
            assert len(values) >= least
            assert values == [*range(len(values))]
            events = client.get("/api/v1/events/count").json()["data"]["total"]
            assert progress_of(client) == events  # every event has counted, and once
            send(client, 0, 500)  # repeats of what the snapshot has
            assert client.get("/api/v1/events/count").json()["data"]["total"] == max(events, 500)
        assert restored.stop() == 0


def test_a_second_backup_copies_only_what_the_first_has_not(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", ADMIN).start()
    with server.client("secret") as client:
        for first in range(0, 5000, 500):
            send(client, first, 500)
        exported(client)
    server.stop()
    folder = tmp_path / "backups"
    first = back_up(server.data, folder)
    second = back_up(server.data, folder)
    databases = sum(path.stat().st_size for path in (folder / "snapshots" / second["snapshot"]).glob("*.sqlite"))
    assert second["copied"] == databases < second["bytes"]
    assert first["copied"] == first["bytes"]
    third = back_up(server.data, folder, "--keep", "1")
    assert sorted(third["removed"]) == sorted([first["snapshot"], second["snapshot"]])
    assert [each.name for each in (folder / "snapshots").iterdir()] == [third["snapshot"]]
    restore(folder, tmp_path / "new")
    assert json.loads(command("check", "--data", tmp_path / "new").stdout)["problems"] == []


def test_what_is_erased_after_a_backup_is_erased_again_when_it_is_restored(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", ADMIN).start()
    with server.client("secret") as client:
        send(client, 0, 10)
        rows = exported(client)
    server.stop()
    back_up(server.data, tmp_path / "backups")
    gone = [row["id"].removeprefix("evt_") for row in rows[:4]]
    code = (
        "import sys; from pathlib import Path; from headrace.model.settings import Settings\n"
        "from headrace.assembly.adapters import Adapters; from headrace.upkeep.erase import erase\n"
        "held = Adapters(Settings(data=Path(sys.argv[1]))); erase(held.store, held.erased, sys.argv[2:]); held.close()\n"
    )
    subprocess.run([sys.executable, "-c", code, str(server.data), *gone], check=True, env=environ(), timeout=60)
    assert restore(tmp_path / "backups", tmp_path / "new", "--erasures-of", server.data)["erased"] == 4
    restored = Server(tmp_path / "new", ADMIN).start()
    with restored.client("secret") as client:
        assert [row["value"] for row in exported(client)] == [row["value"] for row in rows[4:]]
        send(client, 0, 10)  # late retries
        assert len(exported(client)) == 6
    assert restored.stop() == 0
    assert json.loads(command("check", "--data", tmp_path / "new").stdout)["problems"] == []


def test_a_restore_overwrites_nothing_and_takes_no_broken_snapshot(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", ADMIN).start()
    with server.client("secret") as client:
        send(client, 0, 500)
        exported(client)
    server.stop()
    folder = tmp_path / "backups"
    name = back_up(server.data, folder)["snapshot"]
    assert "is not empty" in command("restore", folder, "--data", server.data, code=2).stderr
    assert (
        "There is no snapshot 'x'"
        in command("restore", folder, "--snapshot", "x", "--data", tmp_path / "n", code=2).stderr
    )
    part = next((folder / "parts").iterdir())
    (part / "columns.txt").write_text("")
    assert "its size has changed" in command("restore", folder, "--data", tmp_path / "n", code=2).stderr
    shutil.rmtree(part)
    assert "is missing" in command("restore", folder, "--data", tmp_path / "n", code=2).stderr
    (folder / "snapshots" / name / "manifest.json").unlink()
    assert "it has: none" in command("restore", folder, "--data", tmp_path / "n", code=2).stderr
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize("victim", ["server", "restore"])
def test_a_kill_in_the_middle_leaves_nothing_that_counts(tmp_path: Path, victim: str) -> None:
    server = Server(tmp_path / "data", ADMIN).start()
    with server.client("secret") as client:
        for first in range(0, 20_000, 500):
            send(client, first, 500)
        exported(client)
    folder, new = tmp_path / "backups", tmp_path / "new"
    if victim == "server":
        making = subprocess.Popen(
            [*COMMAND, "backup", str(folder), "--data", str(server.data)], stderr=subprocess.DEVNULL, env=environ()
        )
        until = time.monotonic() + 60
        while making.poll() is None and not list(folder.glob("snapshots/.*/control.sqlite")):
            assert time.monotonic() < until
        server.kill()
        making.wait(60)
        server.start()
        assert len([*folder.glob("snapshots/[!.]*")]) <= 1
    back_up(server.data, folder, "--keep", "1")
    assert [path.name[0] for path in (folder / "snapshots").iterdir()] == ["2"]
    server.stop()
    if victim == "restore":
        making = subprocess.Popen(
            [*COMMAND, "restore", str(folder), "--data", str(new)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environ(),
        )
        until = time.monotonic() + 60
        while making.poll() is None and not list(tmp_path.glob("new.restoring/store/*")):
            assert time.monotonic() < until
        making.kill()
        if making.wait() == 0:  # it was done before anybody looked
            shutil.rmtree(new)
        assert not new.exists()
    restore(folder, new)
    assert json.loads(command("check", "--data", new).stdout)["problems"] == []
    restored = Server(new, ADMIN).start()
    with restored.client("secret") as client:
        assert client.get("/api/v1/events/count").json()["data"]["total"] == 20_000
    assert restored.stop() == 0
