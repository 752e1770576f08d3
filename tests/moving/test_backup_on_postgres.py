"""A backup of a server whose control database is PostgreSQL, and what it restores to: PostgreSQL, or a file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forks import run as run_forked
from tests.moving.test_backup import ADMIN, RULES, load, progress_of, send
from tests.moving.test_commands import COMMAND, environ
from tests.moving.test_export import exported
from tests.postgres import Postgres, postgres, postgres_url
from tests.server import Server
from tests.waiting import until

__all__ = ["postgres", "postgres_url"]


@pytest.fixture
def empty(postgres: Postgres) -> Iterator[str]:
    url = postgres.empty()
    yield url
    postgres.drop(url)


def run(url: str, *words: str | Path, code: int = 0) -> Any:
    control = {"HEADRACE_CONTROL_URL": url} if url else {}
    done = run_forked([*COMMAND, *map(str, words)], environ() | control)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout) if code == 0 else done.stderr


@pytest.mark.timeout(400)
def test_a_backup_under_load_restores_into_an_empty_database_and_into_a_file(
    tmp_path: Path, postgres_url: str, empty: str
) -> None:
    server = Server(tmp_path / "data", ADMIN | {"HEADRACE_CONTROL_URL": postgres_url}).start()
    with server.client("secret") as client:
        client.put("/api/v1/rules", content=RULES)
        send(client, 0)  # so that somebody has progress
    with load(server) as acknowledged:
        until(lambda: len(acknowledged) >= 10)
        before = acknowledged[-1]
        run(postgres_url, "backup", tmp_path / "backups", "--data", server.data)
    assert "is not empty" in run(postgres_url, "restore", tmp_path / "backups", "--data", tmp_path / "no", code=2)
    assert not (tmp_path / "no").exists()
    server.kill()
    for name, url in (("in-postgres", empty), ("in-a-file", "")):
        data = tmp_path / name
        run(url, "restore", tmp_path / "backups", "--data", data)
        assert (data / "control.sqlite").exists() == (not url)
        restored = Server(data, ADMIN | ({"HEADRACE_CONTROL_URL": url} if url else {})).start()
        assert run(url, "check", "--data", data)["problems"] == []
        with restored.client("secret") as client:
            values = sorted({row["value"] for row in exported(client)})
            assert len(values) >= before
            assert values == [*range(len(values))]
            assert progress_of(client) == len(values)  # every event has counted, and once
            send(client, 0, 100)  # repeats of what the snapshot has
            assert client.get("/api/v1/events/count").json()["data"]["total"] == len(values)
        assert restored.stop() == 0


def test_erasures_that_only_the_old_database_knows_are_repeated(tmp_path: Path, postgres_url: str, empty: str) -> None:
    server = Server(tmp_path / "data", ADMIN | {"HEADRACE_CONTROL_URL": postgres_url}).start()
    with server.client("secret") as client:
        send(client, 0, 10)
        client.post("/api/v1/events", json={"name": "order", "user_id": "stays"})
    run(postgres_url, "backup", tmp_path / "backups", "--data", server.data)
    (tmp_path / "backups").rename(tmp_path / "elsewhere")  # so that no notice reaches it
    with server.client("secret") as client:
        asked = client.delete("/api/v1/users/u").json()["data"]
        until(lambda: client.get(f"/api/v1/erasures/{asked['id']}").json()["data"]["status"] == "done")
        left = [row["id"] for row in exported(client)]
    assert len(left) == 1
    server.stop()
    words = ("restore", tmp_path / "elsewhere", "--data")
    for wrong in (empty.replace("@", ":secret@"), "postgresql://[", empty):
        said = run("", *words, tmp_path / "no", "--erasures-of", wrong, code=2)
        assert "--erasures-of" in said
        assert "secret" not in said
        assert not (tmp_path / "no").exists()
    assert run("", *words, tmp_path / "new", "--erasures-of", postgres_url)["erasures"] == 1
    restored = Server(tmp_path / "new", ADMIN).start()
    with restored.client("secret") as client:
        assert [row["id"] for row in exported(client)] == left
    assert restored.stop() == 0
