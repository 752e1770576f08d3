"""What a soak does to a cluster: it kills, stops and suspends processes, breaks connections, and has inserts and commits come late."""

import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.scale.cluster import Cluster, role_of, wait_until
from tests.scale.keepers import Keeper
from tests.scale.late_commits import LateCommits
from tests.scale.parts import Parts, until_under_way
from tests.server import Server
from tests.soak.ledger import Ledger

_SUSPENDED_S, _LATE_S, _SLOW_S, _CUT_S = 12.0, 13.0, 2.0, 4.0
_TROUBLED_S, _DELAY_S = 1.5, 0.15
_TAKE_OVER_TIMEOUT_S, _END_TIMEOUT_S = 90, 60

# How often each is done, of all that are done in one round.
USUAL = {
    "kill_worker": 3,
    "suspend_worker": 1,
    "stop_worker": 2,
    "replace_worker": 1,
    "kill_standby": 2,
    "kill_gateway": 3,
    "stop_gateway": 1,
    "kill_valkey": 2,
    "kill_postgres": 2,
    "kill_store": 2,
    "slow_insert": 1,
    "cut_insert": 2,
    "late_insert": 1,
    "late_part": 1,
    "stalled_insert": 2,
    "lost_reply": 2,
    "late_commits": 1,
    "trouble": 6,
}


class Deeds:
    """done: by name. wrong: what nobody should ever see. taken_over_s: how long others took to take over, by what was done."""

    def __init__(self, cluster: Cluster, parts: Parts, ledger: Ledger, seed: int) -> None:
        """ledger: of what is sent meanwhile."""
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.taken_over_s: dict[str, list[float]] = {}
        self.late = LateCommits(cluster, parts, ledger)
        self._cluster = cluster
        self._parts = parts
        self._gate = parts.make_gate()
        self._chance = random.Random(seed)
        self._of = {each: Keeper(each).start() for each in (*cluster.workers, *cluster.gateways)}
        self._twins: list[Server] = []

    def plan(self, times: Mapping[str, int]) -> Iterator[str]:
        """Names, without end: each as often as it says, in any order, and so on."""
        while True:
            bag = [name for name, often in times.items() for _ in range(often)]
            self._chance.shuffle(bag)
            yield from bag

    def do(self, name: str) -> None:
        getattr(self, name)()
        self.done[name] += 1
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
        while not any(
            each.is_running() and role_of(each) == "worker"
            for each in (*self._cluster.workers, *self._twins)
            if each is not worker or each.pid != pid
        ):
            assert time.monotonic() < until, f"nobody has taken over after {why}"
            time.sleep(0.02)
        self.taken_over_s.setdefault(why, []).append(time.monotonic() - began)

    def _has_to_end(self, worker: Server, pid: int) -> None:
        """A process that was taken over from does so by itself."""
        if not until_under_way(lambda: worker.pid != pid or not worker.is_running(), _END_TIMEOUT_S):
            self.wrong.append(f"two workers: {worker.data.name} goes on after it was taken over from")
            self._of[worker].kill()

    def kill_worker(self) -> None:
        worker = self._cluster.active()
        pid = worker.pid
        self._of[worker].kill()
        self._take_over("a kill", worker, pid)

    def stop_worker(self) -> None:
        worker = self._cluster.active()
        pid = worker.pid
        ended = threading.Thread(target=self._of[worker].end)
        ended.start()
        self._take_over("SIGTERM", worker, pid)
        ended.join()

    def suspend_worker(self) -> None:
        worker = self._cluster.active()
        pid = worker.pid
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        self._take_over("SIGSTOP", worker, pid)
        time.sleep(max(0.0, _SUSPENDED_S - (time.monotonic() - began)))
        os.kill(pid, signal.SIGCONT)
        self._has_to_end(worker, pid)

    def replace_worker(self) -> None:
        """It is suspended, and another process takes itself for the same one, as if a supervisor could not reach it."""
        worker = self._cluster.active()
        pid = worker.pid
        twin = self._cluster.twin(worker, Path(tempfile.mkdtemp(dir=self._parts.folder)))
        os.kill(pid, signal.SIGSTOP)
        began = time.monotonic()
        self._twins.append(twin.start())
        self._take_over("SIGSTOP", worker, pid)
        time.sleep(max(0.0, _SUSPENDED_S - (time.monotonic() - began)))
        os.kill(pid, signal.SIGCONT)
        self._has_to_end(worker, pid)
        if (code := twin.stop()) not in (0, 1):
            self.wrong.append(f"a worker's twin ended with {code}")
        self._twins.remove(twin)

    def kill_standby(self) -> None:
        self._of[self._cluster.other(self._cluster.active())].kill()

    def kill_gateway(self) -> None:
        self._of[self._chance.choice(self._cluster.gateways)].kill()

    def stop_gateway(self) -> None:
        self._of[self._chance.choice(self._cluster.gateways)].end()

    def kill_valkey(self) -> None:
        self._parts.valkey.kill()
        time.sleep(self._chance.uniform(0, 1.5))
        self._parts.valkey.start()

    def kill_postgres(self) -> None:
        self._parts.postgres.kill()
        time.sleep(self._chance.uniform(0, 1.5))
        self._parts.revive_postgres()

    def kill_store(self) -> None:
        self._parts.store.kill()
        time.sleep(self._chance.uniform(0, 1.5))
        self._parts.store.start()

    def slow_insert(self) -> None:
        self._parts.store.hold_up_an_insert(_SLOW_S)
        if self._chance.random() < 0.5:
            self._parts.store.lose_a_reply()
        self._parts.until_inserted()

    def late_insert(self) -> None:
        """One that goes on past the lease of the worker that has sent it, which is killed."""
        self._parts.store.hold_up_an_insert(_LATE_S)
        self._parts.until_inserted()
        self.kill_worker()

    def late_part(self) -> None:
        """An insert whose fence was looked at stores its rows past the lease of the worker that has sent it, which is killed."""
        held = self._gate.hold_up(_LATE_S)
        if until_under_way(held.is_held.is_set):
            self.kill_worker()
        held.is_over.wait(_LATE_S)

    def stalled_insert(self) -> None:
        """An insert is on its way until another worker has taken over from the one that sent it, and stored the same events."""
        way = self._parts.to_store
        way.hold(b"INSERT", b"fenced")
        if until_under_way(lambda: way.holds):
            worker = self._cluster.active()
            pid = worker.pid
            is_suspended = self._chance.random() < 0.5
            if is_suspended:
                os.kill(pid, signal.SIGSTOP)
                self._take_over("SIGSTOP", worker, pid)
            else:
                self._of[worker].kill()
                self._take_over("a kill", worker, pid)
            with self._cluster.client() as client:
                wait_until(lambda: answers(client, "/api/v1/events/count"), "a count")
            way.let_go()
            if is_suspended:
                os.kill(pid, signal.SIGCONT)
                self._has_to_end(worker, pid)
        way.let_go()

    def cut_insert(self) -> None:
        """The connection of an insert breaks while it runs, before or after its fence is looked at."""
        if self._chance.random() < 0.5:
            self._parts.store.hold_up_an_insert(_CUT_S)
            self._parts.until_inserted()
        else:
            until_under_way(self._gate.hold_up(_CUT_S).is_held.is_set)
        self._parts.to_store.reset()
        time.sleep(_CUT_S)

    def late_commits(self) -> None:
        if wrong := self.late.run(self._take_over, lambda worker: self._of[worker].kill()):
            self.wrong.append(wrong)

    def lost_reply(self) -> None:
        self._parts.store.lose_a_reply()
        self._parts.until_inserted()

    def trouble(self) -> None:
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


def answers(client: httpx.Client, path: str) -> bool:
    """Whether it does, with what was asked for."""
    try:
        return client.get(path).is_success
    except httpx.TransportError:
        return False
