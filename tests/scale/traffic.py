"""Clients that send keyed events through any gateway until each is acknowledged, and check that what they read is not stale."""

import itertools
import random
import threading
import time
from collections.abc import Callable

import httpx

from tests.scale.cluster import Cluster
from tests.soak.ledger import Ledger

RULES = """
facts:
  - {id: buy, event: n, fact_type: purchase, points: 1}
"""


class Traffic:
    """Threads that go on until `stop`. Each is a person, whose own events it counts after some of its sends.

    stale: counts that lacked an event acknowledged before. refused: replies that are neither a success nor a 503. waits_s: how long
    counts took that were answered at the first attempt.
    """

    def __init__(self, cluster: Cluster, people: int = 2, seed: int = 1, *, unkeyed: int = 0) -> None:
        """unkeyed: so many more threads send events without a key, each of its own person, and each once."""
        self.ledger = Ledger()
        self.stale: list[str] = []
        self.refused: list[str] = []
        self.reads = self.retries = 0
        self.waits_s: list[float] = []
        self._cluster = cluster
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._go_on if n < people else self._send_once, args=(n, random.Random(seed + n)))
            for n in range(people + unkeyed)
        ]

    def start(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def _go_on(self, number: int, chance: random.Random) -> None:
        person, sent = f"u{number}", 0
        headers = {"Authorization": f"Bearer {self._cluster.admin}"}
        with httpx.Client(headers=headers, timeout=60, trust_env=False, verify=False) as client:
            while not self._stopping.is_set():
                marks = [f"{person}-{sent + each}" for each in range(chance.choice([1, 1, 5]))]
                events = [{"name": "n", "user_id": person, "idempotency_key": mark} for mark in marks]
                self.ledger.send(marks)
                body = {"events": events}
                if not self._until_answered(lambda url: client.post(f"{url}/api/v1/events/batch", json=body), chance):  # noqa: B023
                    return
                self.ledger.acknowledge(marks)
                sent += len(marks)
                if chance.random() < 0.3:
                    self._read(client, person, sent, chance)

    def _send_once(self, number: int, chance: random.Random) -> None:
        headers = {"Authorization": f"Bearer {self._cluster.admin}"}
        with httpx.Client(headers=headers, timeout=60, trust_env=False, verify=False) as client:
            for sent in itertools.count():
                if self._stopping.wait(0.02):
                    return
                mark = f"x{number}-{sent}"
                self.ledger.send([mark])
                url = chance.choice(self._cluster.gateways).url
                try:
                    answer = client.post(f"{url}/api/v1/events", json={"name": "n", "user_id": mark})
                except httpx.TransportError:
                    continue
                if answer.is_success:
                    self.ledger.acknowledge([mark])
                elif answer.status_code != 503:
                    self.refused.append(f"{answer.status_code}: {answer.text[:300]}")

    def _read(self, client: httpx.Client, person: str, sent: int, chance: random.Random) -> None:
        attempts: list[float] = []

        def count(url: str) -> httpx.Response:
            attempts.append(time.monotonic())
            return client.get(f"{url}/api/v1/events/count", params={"user_id": person})

        answer = self._until_answered(count, chance)
        if answer is not None:
            self.reads += 1
            if len(attempts) == 1:
                self.waits_s.append(time.monotonic() - attempts[0])
            if (seen := answer.json()["data"]["total"]) < sent:
                self.stale.append(f"{person} counts {seen} of {sent}, after {time.monotonic() - self._began:.0f} s")

    def _until_answered(self, ask: Callable[[str], httpx.Response], chance: random.Random) -> httpx.Response | None:
        """The answer of some gateway; None if the traffic ends, or something is answered that never should be."""
        while True:
            url = chance.choice(self._cluster.gateways).url
            try:
                answer = ask(url)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.is_success:
                return answer
            if answer is not None and answer.status_code != 503:
                self.refused.append(f"{answer.status_code}: {answer.text[:300]}")
                return None
            self.retries += 1
            if self._stopping.wait(0.02):
                return None
