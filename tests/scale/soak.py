"""The long form of test_cluster.py: python -m tests.scale.soak --minutes 30

Two gateways and two workers under traffic. Every few seconds one of them is killed, or a worker is suspended for longer than its
lease; nobody shortens leases. Now and then an insert runs late, or its reply is lost. At the end the books have to balance.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from tests.clickhouse_face import Face
from tests.postgres import Postgres
from tests.scale.books import booked, stored
from tests.scale.cluster import Cluster
from tests.scale.traffic import RULES, Traffic
from tests.valkey_server import Valkey

_SUSPENDED_S = 12.0


class Soak:
    """What was done to the cluster is in `done`."""

    def __init__(self, cluster: Cluster, face: Face, seed: int) -> None:
        self.done: dict[str, int] = {}
        self._cluster = cluster
        self._face = face
        self._chance = random.Random(seed)

    def run(self, seconds: float, /) -> None:
        until = time.monotonic() + seconds
        deeds = [
            self._kill_worker,
            self._kill_gateway,
            self._kill_standby,
            self._suspend,
            self._stop_worker,
            self._lose_a_reply,
        ]
        while time.monotonic() < until:
            deed = self._chance.choice(deeds)
            deed()
            self.done[deed.__name__.strip("_")] = self.done.get(deed.__name__.strip("_"), 0) + 1
            time.sleep(self._chance.uniform(0, 3))

    def _kill_worker(self) -> None:
        worker = self._cluster.active()
        worker.kill()
        worker.start()

    def _kill_standby(self) -> None:
        worker = self._cluster.other(self._cluster.active())
        worker.kill()
        worker.start()

    def _kill_gateway(self) -> None:
        gateway = self._chance.choice(self._cluster.gateways)
        gateway.kill()
        gateway.start()

    def _stop_worker(self) -> None:
        worker = self._cluster.active()
        if worker.stop():
            raise AssertionError("a worker did not stop cleanly")
        worker.start()

    def _suspend(self) -> None:
        worker = self._cluster.active()
        self._cluster.freeze(worker)
        time.sleep(_SUSPENDED_S)
        self._cluster.active()
        self._cluster.thaw(worker)
        worker.wait()
        worker.start()

    def _lose_a_reply(self) -> None:
        lost = threading.Event()

        def lose() -> None:
            if not lost.is_set():
                lost.set()
                raise ConnectionError

        late = self._chance.random() < 0.5
        self._face.amid_insert = (lambda: time.sleep(2)) if late else self._face.amid_insert
        self._face.after_insert = lose
        if self._chance.random() < 0.5:
            self._kill_worker()
        lost.wait(30)
        self._face.amid_insert = self._face.after_insert = lambda: None


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    given = arguments.parse_args()
    print(f"soak-scale: {given.minutes:g} minutes, seed {given.seed}", file=sys.stderr, flush=True)
    valkey, face = Valkey(), Face()
    with tempfile.TemporaryDirectory() as folder:
        postgres = Postgres(Path(tempfile.mkdtemp(prefix="headrace-postgres-")))
        postgres.prepare()
        cluster = Cluster(Path(folder), valkey.url, postgres.migrated(), face.url()).start()
        with cluster.client() as client:
            client.put("/api/v1/rules", content=RULES).raise_for_status()
        traffic, soak = Traffic(cluster, people=4, seed=given.seed).start(), Soak(cluster, face, given.seed)
        try:
            soak.run(given.minutes * 60)
        finally:
            traffic.stop()
        balance = traffic.ledger.balance(stored(face, cluster))
        points = booked(cluster)
        cluster.stop()
        postgres.stop()
    face.close()
    valkey.remove()
    print(soak.done, f"{traffic.reads} counts, of which {len(traffic.stale)} stale; {points} points booked")
    print(balance)
    print(*traffic.refused[:10], *traffic.stale[:10], sep="\n")
    return 0 if balance.holds and points == balance.stored and not (traffic.stale or traffic.refused) else 1


if __name__ == "__main__":
    sys.exit(main())
