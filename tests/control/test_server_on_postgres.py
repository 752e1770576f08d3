"""A server whose control database is PostgreSQL: what it keeps there, and that it is the only one."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.engine import make_url

from headrace.assembly import control
from headrace.assembly.clock import clock_ms
from headrace.assembly.control import open_control, take_partition
from headrace.control.api_keys import Keys
from headrace.control.database import open_database, writing
from headrace.control.offsets import ControlOffsets
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from headrace.ports.control import LeaseLost
from tests.postgres import postgres, postgres_url
from tests.server import Client, Server
from tests.waiting import until

__all__ = ["postgres", "postgres_url"]

RULES = """
facts:
  - {id: buy, event: n, fact_type: purchase, points: 1}
challenges:
  - {id: buyer, fact: purchase, goal: 3}
"""


@pytest.fixture
def engine(postgres_url: str) -> Iterator[Engine]:
    engine = open_database(postgres_url)
    yield engine
    engine.dispose()


def test_a_server_that_vanishes_is_noticed_in_about_a_leases_length(postgres_url: str) -> None:
    more = make_url(postgres_url).update_query_dict({"keepalives_idle": "60"}).render_as_string(hide_password=False)
    for url, idle_s in ((postgres_url, "5"), (more, "60")):
        opened = open_database(url)
        with opened.connect() as connection:
            driver: Any = connection.connection.driver_connection
            told = driver.info.get_parameters()
            names = "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"
            assert [told[name] for name in names] == [idle_s, "2", "3", "10000"]
        opened.dispose()


def wait_for(client: Client, job: str, reached: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    return until(lambda: client.get(f"/v1/admin/replays/{job}").json()["replay"], reached)


@pytest.mark.timeout(300)
def test_a_server_keeps_keys_rules_progress_and_jobs_there(tmp_path: Path, postgres_url: str, engine: Engine) -> None:
    users = ["u", "a\x00b", "\x00", "é"]
    server = Server(tmp_path, {"HEADRACE_CONTROL_URL": postgres_url}).start()
    _, key = Keys(engine).create("p", "live", "admin", None, clock_ms())
    with server.client(key) as client:
        assert client.put("/api/v1/rules", content=RULES).status_code == 200
        body = [{"name": "n", "user_id": user} for user in users for _ in range(3)]
        assert client.post("/api/v1/events/batch", json=body).status_code == 201
    assert server.stop() == 0
    assert not (tmp_path / "control.sqlite").exists()
    server = Server(tmp_path, {"HEADRACE_CONTROL_URL": postgres_url}).start()
    try:
        with server.client(key) as client:
            board = client.get("/api/v1/challenges/buyer/leaderboard").json()["data"]
            assert {(row["participant"], row["completions"]) for row in board} == {(user, 1) for user in users}
            made = client.post("/v1/admin/events/replay", json={"filter": {"event": "n"}, "async": True, "force": True})
            job = made.json()["replay"]["id"]
            done = wait_for(client, job, lambda now: now["finishedAt"] is not None)
            assert (done["status"], done["replayed"], done["failed"]) == ("done", 12, 0)
            assert client.get("/v1/admin/replays/a%00b").status_code == 404
    finally:
        assert server.stop() == 0
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM leases WHERE expires_at_ms > 0")) == 0, "all were released"


def test_a_second_server_on_the_same_database_is_refused_while_the_first_renews_its_lease(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_MARGIN_S", -control.LEASE_S)
    _, lease = take_partition(engine)
    assert lease is not None
    with pytest.raises(SettingsError, match="Another headrace server is running on the database"):
        take_partition(engine)
    with writing(engine) as connection:  # the first was killed, and its time has passed
        connection.execute(text("UPDATE leases SET expires_at_ms = 1"))
    _, taken = take_partition(engine)
    assert taken is not None
    assert taken.current.fence > lease.current.fence
    with pytest.raises(LeaseLost):
        ControlOffsets(engine, lease=lease).commit(5)
    lease.release()
    ControlOffsets(engine, lease=taken).commit(5)


@pytest.mark.timeout(300)
def test_a_server_that_lost_its_lease_stores_nothing_while_another_holds_it_and_then_goes_on(
    tmp_path: Path, postgres_url: str, engine: Engine
) -> None:
    env = {"HEADRACE_CONTROL_URL": postgres_url, "HEADRACE_FRESHNESS_TIMEOUT_S": "0.2"}
    server = Server(tmp_path, env).start()
    _, key = Keys(engine).create("p", "live", "admin", None, clock_ms())

    def lease() -> tuple[str, int]:
        with engine.connect() as connection:
            return tuple(connection.execute(text("SELECT owner, fence FROM leases WHERE name = 'partition/0'")).one())

    try:
        with server.client(key) as client:

            def send(count: int) -> None:
                body = [{"name": "n", "user_id": "u"} for _ in range(count)]
                assert client.post("/api/v1/events/batch", json=body).status_code == 201

            def counted() -> int | None:
                answer = client.get("/api/v1/events/count")
                return answer.json()["data"]["total"] if answer.status_code == 200 else None

            assert client.put("/api/v1/rules", content=RULES).status_code == 200
            send(3)
            until(lambda: counted() == 3)
            owner, fence = lease()
            with engine.begin() as connection:  # another server takes over, and commits far past this one's events
                connection.execute(
                    text("UPDATE leases SET owner = 'another', fence = fence + 1, expires_at_ms = :never"),
                    {"never": 2**62},
                )
                connection.execute(text("UPDATE offsets SET position = position + 3600000 * (1 << 20)::bigint"))
            send(3)
            until(lambda: client.get("/ready").status_code == 503)
            send(3)
            assert counted() is None, "acknowledged, and not stored while the lease is another's"
            assert lease() == ("another", fence + 1)
            with engine.begin() as connection:
                connection.execute(text("UPDATE leases SET expires_at_ms = 0"))
            until(lambda: counted() == 9)
            until(lambda: client.get("/ready").status_code == 200)
            assert lease() == (owner, fence + 2)
            until(lambda: client.get("/api/v1/challenges/buyer/leaderboard").status_code == 200)
            board = client.get("/api/v1/challenges/buyer/leaderboard").json()["data"]
            assert [(row["participant"], row["completions"]) for row in board] == [("u", 1)]
            with engine.connect() as connection:
                assert connection.scalar(text("SELECT sum(points) FROM points")) == 9, "each event once"
    finally:
        assert server.stop() == 0


def test_ids_too_long_for_postgresql_to_index_are_refused_at_the_start(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path, control_url="postgresql://u:hunter2@host/name", max_id_chars=601)
    with pytest.raises(SettingsError, match=r"^HEADRACE_MAX_ID_CHARS: ") as refused:
        open_control(settings)
    assert "hunter2" not in refused.value.message


def test_the_longest_id_fits_an_index_of_postgresql(engine: Engine) -> None:
    name = "".join(chr(0x10000 + number * 7919 % 0xF0000) for number in range(600))  # nothing to compress
    with writing(engine) as connection:
        connection.execute(
            text("INSERT INTO participants (project, mode, name) VALUES (:project, 'live', :name)"),
            {"project": "p" * 100, "name": name},
        )
