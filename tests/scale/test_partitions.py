"""Several workers that store partitions of one log at once, as processes of their own, on real servers (the store's is the face)."""

import itertools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clickhouse_face import Face, face
from tests.forks import run as run_forked
from tests.moving.test_commands import COMMAND, environ
from tests.postgres import Postgres, postgres
from tests.scale.books import booked, order_of_effects, stored
from tests.scale.cluster import Cluster, role_of, wait_until
from tests.scale.traffic import RULES, Traffic
from tests.server import Server
from tests.valkey_server import Valkey, own_valkey

__all__ = ["face", "own_valkey", "postgres"]


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, own_valkey: Valkey, postgres: Postgres, face: Face
) -> Iterator[Cluster]:
    url = postgres.migrated()
    folder = tmp_path_factory.mktemp("partitions")
    running = Cluster(folder, own_valkey.url, url, face.url(), HEADRACE_LOG_PARTITIONS="4").start()
    yield running
    running.stop()
    postgres.give_back(url)


def shared_as(cluster: Cluster, *counts: int) -> None:
    """Wait until the workers have so many partitions each."""

    def look() -> bool:
        return sorted(Counter(cluster.holders().values()).values()) == sorted(counts)

    wait_until(look, f"{counts} partitions each")


@pytest.mark.timeout(400)
def test_workers_that_come_and_go_share_the_partitions_and_no_event_is_lost_or_doubled(
    cluster: Cluster, face: Face
) -> None:
    shared_as(cluster, 2, 2)
    with cluster.client() as client:
        wait_until(lambda: client.put("/api/v1/rules", content=RULES).status_code == 200, "the coordinator does it")
    for each in cluster.workers:
        with each.client(cluster.admin) as client:
            wait_until(lambda: "headrace_partitions_stored 2.0" in client.get("/metrics").text)
    traffic = Traffic(cluster).start()
    try:
        enough = itertools.count(20, 20)

        def more() -> None:
            wanted = next(enough)
            wait_until(lambda: len(traffic.ledger.acknowledged) >= wanted or bool(traffic.refused))

        more()
        coordinating = cluster.active()
        other = cluster.other(coordinating)
        other.kill()
        cluster.expire_leases(other)
        shared_as(cluster, 4)
        more()
        other.start()
        shared_as(cluster, 2, 2)
        more()
        coordinating.kill()
        cluster.expire_leases(coordinating)
        wait_until(lambda: role_of(other) == "worker", "the other one coordinates")
        more()
        coordinating.start()
        shared_as(cluster, 2, 2)
        more()
        assert other.stop() == 0
        shared_as(cluster, 4)
        more()
        other.start()
        shared_as(cluster, 2, 2)
        more()
        cluster.freeze(other)
        cluster.expire_leases(other)
        shared_as(cluster, 4)
        more()
        cluster.thaw(other)
        shared_as(cluster, 2, 2)
        more()
    finally:
        traffic.stop()
    assert traffic.refused == []
    assert traffic.stale == []
    balance = traffic.ledger.balance(stored(face, cluster))
    assert balance.holds, str(balance)
    assert booked(cluster) == balance.stored, "each effect once"
    for effects in order_of_effects(cluster).values():
        assert effects == sorted(effects), "in the order in which they were acknowledged"


@pytest.mark.timeout(300)
def test_merges_erasures_replays_and_sync_answers_go_by_the_order_of_all_partitions(cluster: Cluster) -> None:
    keys = [cluster.key(style, "whole") for style in ("admin", "admin", "bricqs")]
    with cluster.patient(0, keys[0]) as one, cluster.patient(1, keys[1]) as other, cluster.client(1, keys[2]) as bricqs:
        assert one.put("/api/v1/rules", content=RULES).status_code == 200, "the coordinator does it"
        number = itertools.count()

        def send(times: int) -> None:
            for gateway in itertools.islice(itertools.cycle((one, other)), times):
                # each an append, and so in turn to every partition
                event = {"name": "n", "user_id": "ann", "idempotency_key": f"whole-{next(number)}"}
                assert gateway.post("/api/v1/events", json=event).status_code == 201

        def balance(person: str) -> int:
            return int(other.get(f"/api/v1/participants/{person}").json()["data"]["points"]["balance"])

        for gateway in (one, other) * 3:
            seen = {"event": "n", "anonymousId": "visitor", "messageId": f"whole-{next(number)}"}
            assert gateway.post("/v1/track", json=seen).status_code == 200
        send(5)
        told = {"userId": "ann", "anonymousId": "visitor", "traits": {"plan": "pro"}, "messageId": "whole-told"}
        assert one.post("/v1/identify", json=told).status_code == 200
        person = other.get("/api/v1/users/visitor").json()["data"]
        assert (person["ids"], person["events"]) == (["ann", "visitor"], 12)
        earned = balance("ann")
        assert earned == balance("visitor") >= 5
        sent = {"event_name": "n", "participant_id": "ann"}
        answers: list[str] = []

        def answered() -> bool:
            answers.append(bricqs.post("/api/v1/ingest/events/sync", json=sent).text)
            return "purchase" in answers[-1]

        wait_until(answered, "its fact")
        assert balance("ann") == earned + len(answers)

        erasure = one.delete("/api/v1/users/ann").json()["data"]["id"]
        send(6)
        wait_until(lambda: other.get(f"/api/v1/erasures/{erasure}").json()["data"]["status"] == "done")
        assert balance("ann") == 6, "of somebody new"
        assert other.get("/api/v1/events/count", params={"name": "n"}).json()["data"]["total"] == 6

        asked = {"filter": {"event": "n"}, "async": True}
        job = one.post("/v1/admin/events/replay", json=asked).json()["replay"]["id"]
        replays: list[dict[str, int]] = []

        def ended() -> bool:
            replays.append(one.get(f"/v1/admin/replays/{job}").json()["replay"])
            return replays[-1]["finishedAt"] is not None

        wait_until(ended)
        now = replays[-1]
        assert (now["total"], now["replayed"], now["failed"], now["effects"], now["suppressed"]) == (6, 6, 0, 0, 12)
        assert balance("ann") == 6


@pytest.mark.timeout(400)
def test_a_backup_has_the_entries_of_every_partition_and_restores_into_a_folder(
    cluster: Cluster, tmp_path: Path
) -> None:
    events = [{"name": "n", "user_id": "u", "idempotency_key": f"backup-{n}"} for n in range(20)]
    with cluster.patient() as client:
        for each in events:  # each call is an append, and appends take turns with the partitions
            assert client.post("/api/v1/events", json=each).status_code == 201
        total = client.get("/api/v1/events/count").json()["data"]["total"]
    for words, env in (
        (["backup", tmp_path / "backups", "--data", cluster.active().data], cluster.settings),
        (["restore", tmp_path / "backups", "--data", tmp_path / "new"], {}),
    ):
        done = run_forked([*COMMAND, *map(str, words)], environ() | env)
        assert done.returncode == 0, done.stderr
    restored = Server(tmp_path / "new").start()
    with restored.client(cluster.admin) as client:
        assert client.get("/api/v1/events/count").json()["data"]["total"] == total
        assert client.post("/api/v1/events/batch", json=events).status_code == 201
        assert client.get("/api/v1/events/count").json()["data"]["total"] == total
    assert restored.stop() == 0
