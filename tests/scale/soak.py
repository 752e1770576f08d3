"""The long form of test_cluster.py: python -m tests.scale.soak --minutes 12 --deeds 110

Two gateways and two workers under traffic, on Valkey, PostgreSQL and the face of a ClickHouse, each behind a proxy. Every few seconds
something is done to one of them: it is killed, stopped, suspended for longer than its lease, delayed, cut off, or loses replies.
Nobody shortens leases. At the end the books have to balance: who sent what, what the store has, what reactions have booked.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import httpx
from sqlalchemy.engine import make_url

from tests.postgres import Postgres
from tests.scale.books import booked, order_of_effects
from tests.scale.cluster import Cluster, role_of, wait_until
from tests.scale.keepers import Keeper
from tests.scale.proxy import to_port, to_socket
from tests.scale.store_process import StoreProcess
from tests.scale.traffic import RULES, Traffic
from tests.server import Server
from tests.valkey_server import Valkey

_LEASE_S = 10
_SUSPENDED_S, _LATE_S, _SLOW_S = 12.0, 13.0, 2.0
_TROUBLED_S, _DELAY_S = 1.5, 0.15
_TAKE_OVER_TIMEOUT_S = 90


class Soak:
    """What was done to the cluster is in `done`; how long others took to take over, by what was done, in `taken_over_s`."""

    def __init__(self, cluster: Cluster, parts: "Parts", seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.taken_over_s: dict[str, list[float]] = {}
        self._cluster = cluster
        self._parts = parts
        self._chance = random.Random(seed)
        self._of = {each: Keeper(each).start() for each in (*cluster.workers, *cluster.gateways)}

    def run(self, seconds: float, deeds: int, /) -> None:
        """Until the time is up, or so many deeds are done."""
        until = time.monotonic() + seconds
        times: dict[Callable[[], None], int] = {
            self._kill_worker: 3,
            self._suspend_worker: 1,
            self._stop_worker: 2,
            self._kill_standby: 2,
            self._kill_gateway: 3,
            self._stop_gateway: 1,
            self._kill_valkey: 2,
            self._kill_postgres: 2,
            self._kill_store: 2,
            self._slow_insert: 1,
            self._late_insert: 1,
            self._lost_reply: 2,
            self._trouble: 6,
        }
        bag: list[Callable[[], None]] = []
        while time.monotonic() < until and self.done.total() < deeds:
            if not bag:  # each as often as it says, in any order
                bag = [deed for deed, often in times.items() for _ in range(often)]
                self._chance.shuffle(bag)
            deed = bag.pop()
            deed()
            self.done[deed.__name__.strip("_")] += 1
            print(f"{self.done.total()} {deed.__name__.strip('_')}", file=sys.stderr, flush=True)
            time.sleep(self._chance.uniform(0, 1.5))

    def strange(self) -> list[str]:
        """Exit codes that nobody should see."""
        return [f"{each.data.name} ended with {code}" for each, keeper in self._of.items() for code in keeper.strange]

    def calm(self) -> None:
        """Leave everything running, and do no more."""
        self._parts.calm()
        wait_until(lambda: all(each.is_running() and each.listened for each in self._of), "all run again")
        self._cluster.active()
        for keeper in self._of.values():
            keeper.stop()

    def _take_over(self, why: str, worker: Server, pid: int) -> None:
        """Wait until a worker other than that process is active, and note how long that took."""
        began = time.monotonic()
        until = began + _TAKE_OVER_TIMEOUT_S
        others = lambda: [each for each in self._cluster.workers if each is not worker or each.pid != pid]  # noqa: E731
        while not any(each.is_running() and role_of(each) == "worker" for each in others()):
            assert time.monotonic() < until, f"nobody has taken over after {why}"
            time.sleep(0.02)
        self.taken_over_s.setdefault(why, []).append(time.monotonic() - began)

    def _kill_worker(self) -> None:
        worker = self._cluster.active()
        pid = worker.pid
        self._of[worker].kill()
        self._take_over("a kill", worker, pid)

    def _stop_worker(self) -> None:
        worker = self._cluster.active()
        pid = worker.pid
        ended = threading.Thread(target=self._of[worker].end)
        ended.start()
        self._take_over("SIGTERM", worker, pid)
        ended.join()

    def _suspend_worker(self) -> None:
        worker = self._cluster.active()
        pid = worker.pid
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        self._take_over("SIGSTOP", worker, pid)
        time.sleep(max(0.0, _SUSPENDED_S - (time.monotonic() - began)))
        os.kill(pid, signal.SIGCONT)

    def _kill_standby(self) -> None:
        self._of[self._cluster.other(self._cluster.active())].kill()

    def _kill_gateway(self) -> None:
        self._of[self._chance.choice(self._cluster.gateways)].kill()

    def _stop_gateway(self) -> None:
        self._of[self._chance.choice(self._cluster.gateways)].end()

    def _kill_valkey(self) -> None:
        self._parts.valkey.kill()
        time.sleep(self._chance.uniform(0, 1.5))
        self._parts.valkey.start()

    def _kill_postgres(self) -> None:
        self._parts.postgres.kill()
        time.sleep(self._chance.uniform(0, 1.5))
        self._parts.revive_postgres()

    def _kill_store(self) -> None:
        self._parts.store.kill()
        time.sleep(self._chance.uniform(0, 1.5))
        self._parts.store.start()

    def _slow_insert(self) -> None:
        self._parts.store.hold_up_an_insert(_SLOW_S)
        if self._chance.random() < 0.5:
            self._parts.store.lose_a_reply()
        self._parts.until_inserted()

    def _late_insert(self) -> None:
        """One that goes on past the lease of the worker that has sent it, which is killed."""
        self._parts.store.hold_up_an_insert(_LATE_S)
        self._parts.until_inserted()
        self._kill_worker()

    def _lost_reply(self) -> None:
        self._parts.store.lose_a_reply()
        self._parts.until_inserted()

    def _trouble(self) -> None:
        proxy = self._chance.choice(self._parts.proxies)
        kind = self._chance.choice(["delay", "cut", "reset", "lose"])
        if kind == "delay":
            proxy.delay_s = _DELAY_S
            time.sleep(_TROUBLED_S)
            proxy.delay_s = 0
        elif kind == "cut":
            proxy.cut()
        elif kind == "reset":
            proxy.reset()
        else:
            proxy.lose_replies()


class Parts:
    """The three servers, and the proxies in front of them."""

    def __init__(self, folder: Path) -> None:
        self.valkey = Valkey()
        self.postgres = Postgres(Path(tempfile.mkdtemp(prefix="headrace-postgres-")))
        self.postgres.prepare()
        self.store = StoreProcess(folder / "store")
        log, control, store = to_port(self.valkey.port), to_socket(self.postgres.socket), to_port(self.store.port)
        self.proxies = [log, control, store]
        self.own_control_url = self.postgres.migrated()
        there = make_url(self.own_control_url)
        self.urls = (
            f"valkey://127.0.0.1:{log.port}",
            f"postgresql://{there.username}@127.0.0.1:{control.port}/{there.database}",
            f"http://127.0.0.1:{store.port}/events",
        )

    def until_inserted(self) -> None:
        """Wait until the next insert is under way as it was asked for; none may come while others are held up."""
        until = time.monotonic() + 30
        while not self.store.has_done_so() and time.monotonic() < until:
            time.sleep(0.02)

    def revive_postgres(self) -> None:
        for _ in range(20):
            with suppress(subprocess.SubprocessError, AssertionError):
                self.postgres.revive()
                return
            time.sleep(0.5)
        raise AssertionError("PostgreSQL does not start again")

    def calm(self) -> None:
        self.store.calm()
        for each in self.proxies:
            each.delay_s = 0

    def close(self) -> None:
        for each in self.proxies:
            each.close()
        self.store.kill()
        self.postgres.stop()
        self.valkey.remove()


class Books:
    """What the store has."""

    def __init__(self, store: StoreProcess) -> None:
        mark = "if(message_id = '', user_id, message_id)"
        rows = store.ask(f"SELECT {mark}, user_id, position FROM events WHERE name = 'n' ORDER BY position, tail")
        self.stored = Counter(mark for mark, _, _ in rows)
        self.out_of_order: list[str] = []
        by_person: dict[str, list[int]] = {}
        for found, person, _ in rows:
            if found != person:
                by_person.setdefault(person, []).append(int(found.rpartition("-")[2]))
        for person, numbers in by_person.items():
            self.out_of_order += [
                f"{person}: {later} after {earlier}" for earlier, later in pairwise(numbers) if later < earlier
            ]


def quantiles(seconds: list[float], /) -> str:
    """p50 and p99, in ms."""
    if not seconds:
        return "none"
    ordered = sorted(seconds)
    middle, most = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"p50 {middle * 1000:,.0f} ms, p99 {most * 1000:,.0f} ms ({len(ordered)})"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--minutes", type=float, default=12.0)
    arguments.add_argument("--deeds", type=int, default=110, help="stop after so many")
    arguments.add_argument(
        "--partitions", type=int, default=1, help="of the log: both workers store if there are several"
    )
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    given = arguments.parse_args()
    print(f"soak-scale: {given.minutes:g} minutes, seed {given.seed}", file=sys.stderr, flush=True)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        parts = Parts(Path(folder))
        shared = {"HEADRACE_LOG_PARTITIONS": str(given.partitions)}
        cluster = Cluster(Path(folder), *parts.urls, own_control_url=parts.own_control_url, **shared).start()
        with cluster.client() as client:
            wait_until(lambda: client.put("/api/v1/rules", content=RULES).is_success, "rules")
        traffic, soak = Traffic(cluster, people=3, unkeyed=1, seed=given.seed).start(), Soak(cluster, parts, given.seed)
        try:
            soak.run(given.minutes * 60, given.deeds)
            soak.calm()
        finally:
            traffic.stop()
        with cluster.client(1) as client:
            wait_until(lambda: _answers(client, "/api/v1/events/count"), "a count")
        books = Books(parts.store)
        points, effects = booked(cluster), list(order_of_effects(cluster).values())
        balance = traffic.ledger.balance(books.stored)
        codes = cluster.stop()
        parts.close()
    print(f"{soak.done.total()} deeds in {(time.monotonic() - began) / 60:.1f} minutes: {dict(soak.done)}")
    print(f"{traffic.retries} requests sent again; {traffic.reads} counts, of which {len(traffic.stale)} stale")
    print(balance)
    print(
        f"{points} points booked for {balance.stored} events; out of order: {len(books.out_of_order)}; exit codes {codes}"
    )
    for why, seconds in sorted(soak.taken_over_s.items()):
        print(f"taken over after {why}: {quantiles(seconds)}")
    print(f"counts answered at once: {quantiles(traffic.waits_s)}")
    wrong = [*traffic.refused[:10], *traffic.stale[:10], *books.out_of_order[:10], *soak.strange()]
    wrong += ["effects of a person are out of order" for each in effects if each != sorted(each)]
    print(*wrong, sep="\n")
    return 0 if balance.holds and points == balance.stored and not wrong and not any(codes) else 1


def _answers(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    sys.exit(main())
