"""Gateways and workers as processes of their own, on real servers (the store's is the face, not a real one)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.clickhouse_face import Face, face
from tests.forks import run as run_forked
from tests.postgres import Postgres, postgres
from tests.scale.books import booked, stored
from tests.scale.cluster import Cluster, role_of, wait_until
from tests.scale.traffic import RULES, Traffic
from tests.server import Server
from tests.valkey_server import Valkey, own_valkey
from tests.waiting import until

__all__ = ["face", "own_valkey", "postgres"]

STALE_MARK = ", stale"
BODIES = {
    "/api/v1/events": {"name": "n", "user_id": "u"},
    "/api/v1/ingest/events/sync": {"event_name": "n", "participant_id": "u"},
    "/v1/identify": {"userId": "u", "traits": {"plan": "pro"}},
    "/api/v1/query": {"measure": "users"},
    "/v1/admin/events/replay": {"filter": {"event": "n"}},
    "/flags": {},
}
STALE = 1  # the gateway that answers queries while the log is away
OPERATORS = "a-key-in-the-settings-of-every-worker"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, own_valkey: Valkey, postgres: Postgres, face: Face
) -> Iterator[Cluster]:
    url = postgres.migrated()
    running = Cluster(
        tmp_path_factory.mktemp("cluster"),
        own_valkey.url,
        url,
        face.url(),
        stale_gateway=STALE,
        HEADRACE_ADMIN_KEY=OPERATORS,
        HEADRACE_BACKUP_DIR=str(tmp_path_factory.mktemp("backups") / "shared"),
        HEADRACE_FRESHNESS_TIMEOUT_S="0.5",
        HEADRACE_SYNC_DEADLINE_S="0.5",
    ).start()
    yield running
    running.stop()
    postgres.give_back(url)


def have_rules(cluster: Cluster) -> None:
    with cluster.client() as client:
        wait_until(lambda: client.put("/api/v1/rules", content=RULES).status_code == 200, "the worker does it")


def test_what_one_gateway_was_told_of_people_another_one_knows(cluster: Cluster) -> None:
    # Before there are rules: a worker that nobody told of statements reads nothing for them.
    key = cluster.key("admin", "people")
    # On a busy machine storing takes longer than this cluster's queries wait.
    with cluster.client(0, key) as one, cluster.patient(1, key) as other:
        for number in range(3):
            told = {"userId": f"ann{number}", "traits": {"plan": "pro"}}
            assert one.post("/v1/identify", json=told).status_code == 200
            found = other.get(f"/api/v1/users/ann{number}")
            assert found.status_code == 200, "at once"
            assert "pro" in found.text


@pytest.mark.timeout(300)
def test_kills_and_a_stop_past_the_lease_lose_nothing_double_nothing_and_show_nothing_stale(
    cluster: Cluster, face: Face
) -> None:
    have_rules(cluster)
    traffic = Traffic(cluster).start()
    try:
        enough = iter(range(20, 10_000, 20))

        def more() -> None:
            wanted = next(enough)
            wait_until(lambda: len(traffic.ledger.acknowledged) >= wanted or bool(traffic.refused))

        more()
        killed = cluster.active()
        killed.kill()
        cluster.expire_leases(killed)
        more()
        cluster.gateways[0].kill()
        more()
        cluster.gateways[0].start()
        killed.start()
        stopped = cluster.active()
        cluster.freeze(stopped)
        cluster.expire_leases(stopped)
        wait_until(lambda: role_of(cluster.other(stopped)) == "worker")
        more()
        cluster.thaw(stopped)
        assert stopped.wait() == 1, "it has lost its lease, and says so by its exit code"
        stopped.start()
        more()
        leaving = cluster.active()
        assert leaving.stop() == 0
        more()  # at once: the lease was handed back
        leaving.start()
        more()
    finally:
        traffic.stop()
    assert traffic.refused == []
    assert traffic.stale == []
    assert traffic.reads > 5
    balance = traffic.ledger.balance(stored(face, cluster))
    assert balance.holds, str(balance)
    assert booked(cluster) == balance.stored, "each effect once"


def test_each_process_says_what_it_is_and_a_worker_that_stands_by_does_nothing_else(cluster: Cluster) -> None:
    active = cluster.active()
    standby = cluster.other(active)
    wait_until(lambda: role_of(standby) == "standby")
    for server, role in ((active, "worker"), (standby, "standby"), (cluster.gateways[0], "gateway")):
        with server.client(cluster.admin) as client:
            assert client.get("/health").json() == {"status": "ok"}
            ready = until(partial(client.get, "/ready"), lambda reply: reply.status_code == 200)
            assert ready.json() == {"status": "ready", "role": role} | ({} if server is standby else {"log": "fsync"})
            assert f'headrace_role{{role="{role}"}} 1.0' in client.get("/metrics").text
            # On a busy machine storing takes longer than this cluster's queries wait.
            expected = 503 if server is standby else 200
            counted = until(partial(client.get, "/api/v1/events/count"), partial(_has_status, expected))
            assert ("headrace-lag-ms" in counted.headers) == (role == "gateway")
    with cluster.client() as client:
        until(lambda: "headrace_worker_active 1.0" in client.get("/metrics").text)


def test_a_command_reaches_the_active_worker_through_a_gateway(cluster: Cluster) -> None:
    def headrace(key: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "headrace.cli.main", *arguments, "--url", cluster.gateways[0].url]

        def run() -> subprocess.CompletedProcess[str]:
            return run_forked(command, CLEAN | {"HEADRACE_KEY": key})

        # While one worker hands over to the other, none is active, and a busy one takes longer than this cluster's queries wait.
        later = ("No worker is active", "not caught up")
        done = until(run, lambda done: not any(said in done.stderr for said in later))
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    cluster.active()
    assert json.loads(headrace(OPERATORS, "check"))["problems"] == []
    made = json.loads(headrace(OPERATORS, "backup", "--keep", "1"))
    shared = Path(cluster.settings["HEADRACE_BACKUP_DIR"])
    assert [each.name for each in (shared / "snapshots").iterdir()] == [made["snapshot"]]
    key = cluster.key("admin", "commands")
    assert headrace(key, "prune", "--older-than", "1h").startswith("0 events from before")
    assert json.loads(headrace(key, "replay", "--event", "nothing", "--wait"))["replay"]["status"] == "done"
    with cluster.patient(0, key) as client:
        assert client.post("/api/v1/tasks/check").status_code == 403, "of all projects"
        actions = [each["action"] for each in client.get("/api/v1/audit").json()["data"]]
        assert list(dict.fromkeys(actions)) == ["check", "replay", "prune"]


def test_a_worker_of_another_cluster_on_the_same_control_database_ends_and_says_why(
    cluster: Cluster, own_valkey: Valkey, tmp_path: Path
) -> None:
    cluster.active()
    another = {"HEADRACE_ROLE": "worker", "HEADRACE_LOG_URL": f"{own_valkey.url}/1"}
    stranger = Server(tmp_path, cluster.settings | another)
    stranger.begin()
    assert stranger.wait() == 2
    [line] = [each["event"] for each in stranger.logs if "HEADRACE_LOG_URL" in each["event"]]
    assert "HEADRACE_CONTROL_URL" in line
    assert f"names {own_valkey.url}/1, but the log of" in line


@pytest.mark.timeout(300)
def test_each_route_answers_as_the_table_says_while_a_part_is_away(
    cluster: Cluster, own_valkey: Valkey, face: Face
) -> None:
    have_rules(cluster)
    table = _table()
    with cluster.client() as usual, cluster.client(STALE) as accepting:
        bricqs = cluster.key("bricqs")

        def ask(route: str, client: httpx.Client) -> tuple[int, bool]:
            """The status of the answer, and whether it is stale."""
            method, path = route.split()
            key = {"Authorization": f"Bearer {bricqs}"} if "ingest" in path else {}
            reply = client.request(method, path, json=BODIES.get(path) if method == "POST" else None, headers=key)
            return reply.status_code, "headrace-stale" in reply.headers

        def is_answered(part: str, client: httpx.Client = usual) -> None:
            for route, told in table.items():
                expected = int(told[part].removesuffix(STALE_MARK)), told[part].endswith(STALE_MARK)

                def as_told(route: str = route, expected: tuple[int, bool] = expected) -> bool:
                    ask("POST /api/v1/events", client)  # so that there is something that a query has to wait for
                    return ask(route, client) == expected

                wait_until(as_told, f"{route} without {part}: {expected}")

        is_answered("nothing")
        for gateway in range(2):
            with cluster.client(gateway, bricqs) as sender:
                sent = {"event_name": "n", "participant_id": "u"}
                # One that takes longer than this cluster's deadline is answered without its facts.
                until(
                    partial(sender.post, "/api/v1/ingest/events/sync", json=sent),
                    lambda reply: "purchase" in reply.text,
                )
        face.broken = True
        is_answered("the store")
        face.broken = False
        is_answered("nothing")
        cluster.close_control()
        is_answered("control")
        cluster.open_control()
        is_answered("nothing")
        own_valkey.kill()
        is_answered("the log")
        is_answered("the log, with stale reads", accepting)
        own_valkey.start()
        is_answered("nothing")
        running = [each for each in cluster.workers if each.is_running()]
        for each in running:
            each.kill()
        is_answered("a worker")
        for each in running:
            cluster.expire_leases(each)
        for each in running:
            each.start()
        is_answered("nothing")


@pytest.mark.timeout(300)
def test_an_event_that_a_stale_answer_lacks_is_younger_than_the_time_it_names_and_in_the_next_fresh_one(
    cluster: Cluster, own_valkey: Valkey
) -> None:
    key = cluster.key("admin", "stale")
    running = [each for each in cluster.workers if each.is_running()]
    with cluster.client(0, key) as usual, cluster.client(STALE, key) as accepting:
        sent = {"name": "n", "user_id": "u"}
        assert usual.post("/api/v1/events", json=sent).status_code == 201
        for path in ("/api/v1/events/count", "/api/v1/participants/u"):  # stored, and reacted to
            until(partial(accepting.get, path), partial(_has_status, 200))
        for each in running:
            each.kill()
        lacking = usual.post("/api/v1/events", json=sent).json()["data"]["id"]
        lacked = time.time()
        assert accepting.get("/api/v1/events/count").status_code == 503, "the log is there"
        own_valkey.kill()
        assert usual.get("/api/v1/events/count").status_code == 503
        for path in ("/api/v1/events/count", "/api/v1/participants/u"):
            stale = accepting.get(path)
            assert (stale.status_code, stale.headers["headrace-stale"]) == (200, "true"), path
            assert "headrace-lag-ms" not in stale.headers
            assert datetime.fromisoformat(stale.headers["headrace-complete-until"]).timestamp() <= lacked
        assert accepting.get("/api/v1/events/count").json()["data"]["total"] == 1
        assert accepting.get(f"/api/v1/events/{lacking}").status_code == 404
        own_valkey.start()
        for each in running:
            cluster.expire_leases(each)
            each.start()
        for client in (usual, accepting):
            fresh = until(partial(client.get, "/api/v1/events/count"), partial(_has_status, 200))
            assert fresh.json()["data"]["total"] == 2
            assert "headrace-stale" not in fresh.headers
            assert client.get(f"/api/v1/events/{lacking}").status_code == 200


def test_a_gateway_whose_workers_have_another_log_says_so_and_accepts_and_answers_nothing(cluster: Cluster) -> None:
    # The last test: the gateways stay so until they are started anew.
    [before] = cluster.rows("SELECT log_id, log_at, log_of FROM instance")
    cluster.know_log("another", "valkey://elsewhere/0", "a worker")
    for gateway in cluster.gateways:
        with gateway.client(cluster.admin) as client:
            found = until(lambda client=client: client.get("/ready"), lambda reply: reply.status_code == 503)
            assert "the workers have another log" in found.json()["status"]
            for answer in (
                client.post("/api/v1/events", json={"name": "lost", "user_id": "u"}),
                client.get("/api/v1/events/count"),
                client.get("/api/v1/users/u"),
            ):
                assert answer.status_code == 503
                assert "another log" in answer.text
        [line] = gateway.said("workers_have_another_log")
        assert "valkey://elsewhere/0" in line["why"]
    cluster.know_log(*before)


def _has_status(wanted: int, reply: httpx.Response) -> bool:
    return reply.status_code == wanted


def _table() -> dict[str, dict[str, str]]:
    """By route and by what is missing, the status, as docs/scale.md has it."""
    lines = (Path(__file__).parents[2] / "docs" / "scale.md").read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("| asked of a gateway"))
    parts = [cell.strip() for cell in lines[start].strip("|").split("|")][1:]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 :] if line.startswith("| `")
    ]
    return {route.strip("`"): dict(zip(parts, statuses, strict=True)) for route, *statuses in rows}
