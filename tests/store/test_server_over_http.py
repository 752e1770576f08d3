"""A server that keeps nothing on its own machine: Valkey, PostgreSQL, and ClickHouse over HTTP (the face, not a real one)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from headrace.assembly.clock import clock_ms
from headrace.assembly.store import open_store
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from headrace.control.leases import ControlLeases, LastingLease
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from tests.clickhouse_face import Face, face
from tests.postgres import postgres, postgres_url
from tests.server import Client, Server
from tests.valkey_server import Valkey, valkey
from tests.waiting import until

__all__ = ["face", "postgres", "postgres_url", "valkey"]

RULES = """
facts:
  - {id: buy, event: n, fact_type: purchase, points: 1}
"""


@pytest.fixture
def quiet(face: Face) -> Iterator[Face]:
    yield face
    face.amid_insert = face.after_insert = lambda: None
    face.broken = False


def send(client: Client, *keys: str) -> None:
    for key in keys:
        answer = client.post("/api/v1/events", json={"name": "n", "user_id": "u", "idempotency_key": key})
        assert answer.status_code == 201, answer.text


def counted(client: Client) -> int:
    answer = client.get("/api/v1/events/count")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["total"]


@pytest.mark.timeout(300)
def test_lost_replies_and_late_inserts_of_a_killed_server_store_each_event_once(
    tmp_path: Path, quiet: Face, postgres_url: str, valkey: Valkey
) -> None:
    env = {
        "HEADRACE_CONTROL_URL": postgres_url,
        "HEADRACE_LOG_URL": f"{valkey.url}/7",
        "HEADRACE_STORE_URL": quiet.url(),
    }
    engine = open_database(postgres_url)
    server = Server(tmp_path, env).start()
    _, key = Keys(engine).create("p", "live", "admin", None, clock_ms())
    with server.client(key) as client:
        assert client.put("/api/v1/rules", content=RULES).status_code == 200
        send(client, "a", "b")
        assert counted(client) == 2
        lost = threading.Event()

        def lose_one() -> None:
            if not lost.is_set():
                lost.set()
                raise ConnectionError

        quiet.after_insert = lose_one
        send(client, "c", "a")
        assert counted(client) == 3
        assert lost.is_set()

        runs, goes_on = threading.Event(), threading.Event()

        def hold_one_up() -> None:
            if not runs.is_set():
                runs.set()
                assert goes_on.wait(120)

        quiet.amid_insert = hold_one_up
        send(client, "d")
        assert runs.wait(60)
        server.kill()  # its insert goes on
    with engine.begin() as connection:  # its lease would last some seconds
        connection.execute(text("UPDATE leases SET expires_at_ms = 0"))
    server.start()
    with server.client(key) as client:
        send(client, "e")
        goes_on.set()
        assert counted(client) == 5
        assert client.get("/api/v1/participants/u").status_code == 200
    assert server.stop() == 0
    assert not (tmp_path / "store").exists()
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(points) FROM points")) == 5
    engine.dispose()


@pytest.mark.timeout(300)
def test_without_its_store_a_server_goes_on_accepting(
    tmp_path: Path, quiet: Face, postgres_url: str, valkey: Valkey
) -> None:
    env = {
        "HEADRACE_CONTROL_URL": postgres_url,
        "HEADRACE_LOG_URL": f"{valkey.url}/8",
        "HEADRACE_STORE_URL": quiet.url(),
        "HEADRACE_FRESHNESS_TIMEOUT_S": "1",
    }
    engine = open_database(postgres_url)
    server = Server(tmp_path, env).start()
    _, key = Keys(engine).create("p", "live", "admin", None, clock_ms())
    with server.client(key) as client:
        send(client, "a")
        assert counted(client) == 1
        quiet.broken = True
        send(client, "b")
        assert client.get("/api/v1/events/count").status_code == 503
        quiet.broken = False
        until(lambda: client.get("/api/v1/events/count").status_code != 503)
        assert counted(client) == 2
    assert server.stop() == 0
    engine.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "http://u:s3cret@host:8123",
        "http://u:s3cret@host:x/d",
        "http://u:s3cret@[host/d",
        "http://u:s3cret@127.0.0.1:9/d",
        "http://u:s3cret@host:8123/d?cluster=c",
    ],
)
def test_a_store_that_cannot_be_used_is_told_without_its_password(postgres_url: str, url: str, tmp_path: Path) -> None:
    engine = create_engine(make_url(postgres_url).set(drivername="postgresql+psycopg"))
    leases = ControlLeases(engine)
    lease = leases.take("partition/0", "o")
    assert lease is not None
    with pytest.raises(SettingsError) as refused:
        open_store(Settings(data=tmp_path, store_url=url), LastingLease(leases, "o", lease))
    assert refused.value.message.startswith("HEADRACE_STORE_URL: ")
    assert "s3cret" not in refused.value.message
    engine.dispose()


def test_a_store_on_a_network_needs_a_control_database_that_knows_leases(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="needs HEADRACE_CONTROL_URL"):
        open_store(Settings(data=tmp_path, store_url="http://host:8123/d"), None)


def test_another_scheme_is_refused_and_the_password_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environ({"HEADRACE_STORE_URL": "clickhouse://u:s3cret@host/d"})
    assert "HEADRACE_STORE_URL" in refused.value.message
    assert "s3cret" not in refused.value.message
