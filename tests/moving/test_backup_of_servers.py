"""Backups of a server whose log, control and store are on servers of their own, and what they restore to: others, or a folder."""

import json
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.clickhouse_face import Face, face
from tests.crash.restore_and_die import died_at
from tests.forks import run as run_forked
from tests.moving.test_backup import ADMIN, RULES, back_up, load, progress_of, send
from tests.moving.test_commands import COMMAND, environ
from tests.moving.test_export import exported
from tests.postgres import Postgres, postgres, postgres_url
from tests.server import Server
from tests.valkey_server import Valkey, valkey
from tests.waiting import until

__all__ = ["face", "postgres", "postgres_url", "valkey"]

Env = Mapping[str, str]


def run(env: Env, *words: str | Path, code: int = 0) -> Any:
    done = run_forked([*COMMAND, *map(str, words)], environ() | env)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


@pytest.fixture
def empty(postgres: Postgres, valkey: Valkey, face: Face) -> Iterator[dict[str, str]]:
    """Three empty servers."""
    connect = pytest.importorskip("valkey").Valkey
    url = postgres.empty()
    yield {
        "HEADRACE_CONTROL_URL": url,
        "HEADRACE_LOG_URL": f"{valkey.url}/12",
        "HEADRACE_STORE_URL": face.url(),
    }
    postgres.drop(url)
    with connect(port=valkey.port, db=12) as client:
        client.flushdb()


def require_restored(data: Path, env: Env, least: int) -> None:
    """A server there has everything up to some event, has reacted to each once, and recognises repeats."""
    restored = Server(data, ADMIN | env).start()
    assert run(env, "check", "--data", data)["problems"] == []
    with restored.client("secret") as client:
        values = sorted({row["value"] for row in exported(client)})
        assert len(values) >= least
        assert values == [*range(len(values))]
        assert progress_of(client) == len(values)
        for first in (0, len(values) - 50):
            send(client, first)  # repeats of what the snapshot has
        assert client.get("/api/v1/events/count").json()["data"]["total"] == len(values)
        send(client, len(values))
        assert client.get("/api/v1/events/count").json()["data"]["total"] == len(values) + 50
    assert restored.stop() == 0


@pytest.mark.timeout(400)
def test_a_backup_under_load_restores_into_empty_servers_and_into_a_folder(
    tmp_path: Path, postgres_url: str, valkey: Valkey, face: Face, empty: dict[str, str]
) -> None:
    env = {
        "HEADRACE_CONTROL_URL": postgres_url,
        "HEADRACE_LOG_URL": f"{valkey.url}/11",
        "HEADRACE_STORE_URL": face.url(),
    }
    server = Server(tmp_path / "data", ADMIN | env).start()
    folder = tmp_path / "backups"
    with server.client("secret") as client:
        client.put("/api/v1/rules", content=RULES)
        send(client, 0)  # so that somebody has progress
        client.get("/api/v1/events/count")
    with load(server) as acknowledged:
        until(lambda: len(acknowledged) > 10)
        before = acknowledged[-1]
        snapshot = run(env, "backup", folder, "--data", server.data)
    assert snapshot["bytes"] > 0
    # Into servers that are not empty nothing is restored, and nothing is changed there.
    for name, used in env.items():
        mixed = empty | {name: used}
        said = run(mixed, "restore", folder, "--data", tmp_path / "no", code=2)
        assert "is not empty" in said or "has a log already" in said
    server.kill()
    require_restored_from(folder, tmp_path / "new", empty, before)
    run({}, "restore", folder, "--data", tmp_path / "in-a-folder")
    require_restored(tmp_path / "in-a-folder", {}, before)


def require_restored_from(folder: Path, data: Path, env: Env, least: int) -> None:
    """And though the restore is killed once the servers are filled, and run again. The other steps were tried as well."""
    killed = subprocess.run(
        died_at(folder, data, ("controlled",)),
        capture_output=True,
        text=True,
        env=environ() | env,
        timeout=200,
        check=False,
    )
    assert killed.returncode == 0, killed.stderr
    started = run(env, "check", "--data", data.with_name("half"), code=2)
    assert "a restore into it was cut off" in started
    run(env, "restore", folder, "--data", data)
    require_restored(data, env, least)


@pytest.mark.timeout(400)
def test_a_backup_of_a_folder_restores_into_servers_and_one_that_is_killed_has_lost_no_range(
    tmp_path: Path, empty: dict[str, str]
) -> None:
    server = Server(tmp_path / "data", ADMIN).start()
    with server.client("secret") as client:
        client.put("/api/v1/rules", content=RULES)
        for first in range(0, 2000, 500):
            send(client, first, 500)
        client.get("/api/v1/events/count")
    back_up(server.data, tmp_path / "backups")
    assert server.stop() == 0
    data = tmp_path / "new"
    run(empty, "restore", tmp_path / "backups", "--data", data)
    require_restored(data, empty, 2000)
    assert not (data / "store").exists()

    moved = Server(data, ADMIN | empty).start()
    folder = tmp_path / "later"
    making = subprocess.Popen(
        [*COMMAND, "backup", str(folder), "--data", str(data)], stderr=subprocess.DEVNULL, env=environ() | empty
    )
    give_up_at = time.monotonic() + 60
    while not list(folder.glob("parts/rows-*")):
        assert time.monotonic() < give_up_at
    moved.kill()
    making.wait(60)
    ranges = {each.name for each in folder.glob("parts/rows-*")}
    moved.start()
    done = run(empty, "backup", folder, "--data", data)
    assert ranges <= {each.name for each in folder.glob("parts/rows-*")}
    assert done["copied"] < done["bytes"]
    again = run(empty, "backup", folder, "--data", data, "--keep", "1")
    assert again["bytes"] > again["copied"]
    assert moved.stop() == 0
