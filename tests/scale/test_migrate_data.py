"""`headrace migrate-data`: a folder is moved to real servers (the store's is the face), and served from there."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from headrace.control.copying import sums
from headrace.control.database import open_database
from headrace.upkeep.check import Report
from tests.clickhouse_face import Face, face
from tests.crash.test_erasing_people import erase, wait_until_done
from tests.forks import run
from tests.postgres import Postgres, postgres
from tests.scale.traffic import RULES
from tests.server import Client, Server
from tests.valkey_server import Valkey, valkey

__all__ = ["face", "postgres", "valkey"]
STEPS = ("begun", "lot", "events", "control copied", "control", "log", "keys")
QUESTIONS = (
    "/api/v1/events?limit=100",
    "/api/v1/events/count?group_by=name",
    "/api/v1/events/count?user_id=u1",
    "/api/v1/participants/u1",
    "/api/v1/participants/gone",
    "/api/v1/rules",
    "/api/v1/users/u1",
    "/api/v1/erasures",
)


@pytest.fixture
def targets(valkey: Valkey, postgres: Postgres, face: Face) -> Iterator[dict[str, str]]:
    control = postgres.migrated()
    yield {
        "HEADRACE_LOG_URL": f"{valkey.url}/7",
        "HEADRACE_CONTROL_URL": control,
        "HEADRACE_STORE_URL": face.url(),
    }
    postgres.drop(control)
    valkey.client.execute_command("SELECT", 7)
    valkey.client.flushdb()
    valkey.client.execute_command("SELECT", 0)


def move(data: Path, targets: dict[str, str], *, die_at: tuple[str, ...] = ()) -> tuple[int, str, str]:
    command = ["tests.scale.move_and_die", str(data), *die_at] if die_at else None
    command = command or ["headrace.cli.main", "migrate-data", "--data", str(data)]
    done = run([sys.executable, "-m", *command], {**_plain(), **targets}, timeout=200)
    return done.returncode, done.stdout, done.stderr


def _plain() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def send(client: Client, person: str, *keys: str) -> list[str]:
    answers = [
        client.post("/api/v1/events", json={"name": "n", "user_id": person, "idempotency_key": key}) for key in keys
    ]
    assert {answer.status_code for answer in answers} == {201}, [answer.text for answer in answers]
    return [answer.json()["data"]["id"] for answer in answers]


def answers(client: Client) -> list[Any]:
    return [client.get(question).json() for question in QUESTIONS]


@pytest.mark.timeout(300)
def test_a_folder_moved_over_kills_at_each_step_answers_as_before(tmp_path: Path, targets: dict[str, str]) -> None:
    old = Server(tmp_path / "old").start()
    key, other = old.key(), old.key("second", "test")
    with old.client(key) as client, old.client(other) as second:
        client.put("/api/v1/rules", content=RULES).raise_for_status()
        sent = [send(client, f"u{n}", f"a{n}", f"b{n}") for n in range(4)]
        elsewhere = send(second, "u1", "a1")
        send(client, "gone", "g")
        wait_until_done(client, erase(client, "gone"))
        told = answers(client)
    code, _, said = move(old.data, targets)
    assert code == 2
    assert "Another headrace server is running" in said
    assert old.stop() == 0

    code, _, said = move(old.data, targets, die_at=STEPS[:2])
    assert code == 0, said
    new = Server(tmp_path / "new", targets)
    new.begin()
    assert new.wait() == 2, "half of the events are not served"
    assert "migrate-data" in str(new.logs)
    code, _, said = move(old.data, targets, die_at=STEPS[2:])
    assert code == 0, said
    code, out, said = move(old.data, targets)
    assert code == 0, said
    moved = msgspec.json.decode(out)
    assert moved["events"] == 9
    assert moved["rows"] > 9
    # The engine may say something too, as it does where no cgroup file system is mounted.
    assert all(line.startswith("{") for line in said.splitlines()), "a bar is for a terminal"

    with pytest.raises(RuntimeError, match="HEADRACE_LOG_URL is not set"):
        Server(old.data).start()
    code, _, said = move(old.data, targets)
    assert (code, "was moved already" in said) == (2, True), said

    new.start()
    with new.client(key) as client, new.client(other) as second:
        assert answers(client) == told
        assert [send(client, f"u{n}", f"a{n}", f"b{n}") for n in range(4)] == sent, "repeats are recognised"
        assert send(second, "u1", "a1") == elsewhere
        send(client, "gone", "g")  # its key was erased with it, as at the old place
        assert answers(client)[1:] == told[1:], "and nothing is counted twice"
        [fresh] = send(client, "u1", "new")
        assert fresh > max(each for some in sent for each in some), "no position is given again"
        checked = run(
            [sys.executable, "-m", "headrace.cli.main", "check", "--data", str(new.data)], {**_plain(), **targets}
        )
        assert msgspec.json.decode(checked.stdout, type=Report).problems == []
        told_of = run(
            [sys.executable, "-m", "headrace.cli.main", "audit", "--data", str(new.data)], {**_plain(), **targets}
        )
        assert "migrate-data" in told_of.stdout
    assert new.stop() == 0


@pytest.mark.timeout(400)
def test_servers_that_hold_something_are_refused_and_left_as_they_are(
    tmp_path: Path, targets: dict[str, str], face: Face
) -> None:
    own, others = Server(tmp_path / "own").start(), Server(tmp_path / "others", targets).start()
    with own.client(own.key()) as client:
        send(client, "u", "a")
    assert own.stop() == 0
    engine = open_database(targets["HEADRACE_CONTROL_URL"])
    from headrace.assembly.clock import clock_ms
    from headrace.control.api_keys import Keys

    key = Keys(engine).create("default", "live", "admin", None, clock_ms())[1]
    with others.client(key) as client:
        send(client, "u", "b")
        assert client.get("/api/v1/events/count").json()["data"]["total"] == 1
    assert others.stop() == 0
    before = sums(engine)
    for named, why in (
        ({}, "HEADRACE_STORE_URL: The store has events already"),
        ({"HEADRACE_STORE_URL": face.url()}, "HEADRACE_CONTROL_URL: The control database is not empty"),
    ):
        code, _, said = move(own.data, targets | named)
        assert (code, why in said) == (2, True), said
    assert sums(engine) == before
    engine.dispose()
    empty = create_engine(make_url(targets["HEADRACE_CONTROL_URL"]).set(drivername="postgresql+psycopg"))
    with empty.begin() as connection:
        connection.execute(text("DROP SCHEMA public CASCADE; CREATE SCHEMA public"))
    empty.dispose()
    code, _, said = move(own.data, targets | {"HEADRACE_STORE_URL": face.url()})
    assert (code, "HEADRACE_LOG_URL: There is a log already" in said) == (2, True), said
    code, _, said = move(own.data, {"HEADRACE_LOG_URL": targets["HEADRACE_LOG_URL"]})
    assert (code, "needs HEADRACE_CONTROL_URL" in said) == (2, True), said
    code, _, said = move(tmp_path / "nowhere", targets)
    assert (code, "There is no control.sqlite" in said) == (2, True), said


@pytest.mark.timeout(400)
def test_a_folder_whose_server_was_killed_is_not_moved(tmp_path: Path, targets: dict[str, str]) -> None:
    killed = Server(tmp_path, {"HEADRACE_FLUSH_INTERVAL_MS": "60000"}).start()
    with killed.client(killed.key()) as client:
        send(client, "u", "a")
    killed.kill()
    code, _, said = move(tmp_path, targets)
    assert (code, "holds events that are not stored yet" in said) == (2, True), said
