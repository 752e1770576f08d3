"""A server whose events are on a cluster of two shards (the face of tests/cluster_face.py, not a real one)."""

from pathlib import Path

import pytest
from sqlalchemy import text

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from tests.cluster_face import Cluster
from tests.postgres import postgres, postgres_url
from tests.server import Client, Server
from tests.waiting import until

__all__ = ["postgres", "postgres_url"]


def send(client: Client, user: str, *keys: str) -> None:
    for key in keys:
        answer = client.post("/api/v1/events", json={"name": "n", "user_id": user, "idempotency_key": key})
        assert answer.status_code == 201, answer.text


def counted(client: Client, **params: str) -> int:
    answer = client.get("/api/v1/events/count", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["total"]


@pytest.mark.timeout(300)
def test_a_killed_server_has_each_event_once_on_its_shards_and_erases_people_there(
    tmp_path: Path, cluster: Cluster, postgres_url: str
) -> None:
    env = {"HEADRACE_CONTROL_URL": postgres_url, "HEADRACE_STORE_URL": cluster.url()}
    engine = open_database(postgres_url)
    server = Server(tmp_path, env).start()
    _, key = Keys(engine).create("p", "live", "admin", None, clock_ms())
    with server.client(key) as client:
        for number in range(6):
            send(client, f"u{number}", f"a{number}", f"b{number}")
        assert counted(client) == 12
        send(client, "u0", "a0", "c0")
        server.kill()
    with engine.begin() as connection:  # its lease would last some seconds
        connection.execute(text("UPDATE leases SET expires_at_ms = 0"))
    server.start()
    with server.client(key) as client:
        assert counted(client) == 13
        assert client.delete("/api/v1/users/u0").status_code == 202
        until(lambda: counted(client) == 10)
        assert counted(client, user_id="u1") == 2
    assert server.stop() == 0
    engine.dispose()
