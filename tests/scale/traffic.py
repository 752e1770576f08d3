"""Clients that send keyed events through any gateway until each is acknowledged, and check that what they read is not stale."""

import random
import threading
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

    stale: counts that lacked an event acknowledged before. refused: replies that are neither a success nor a 503.
    """

    def __init__(self, cluster: Cluster, people: int = 2, seed: int = 1) -> None:
        self.ledger = Ledger()
        self.stale: list[str] = []
        self.refused: list[str] = []
        self.reads = 0
        self._cluster = cluster
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=(n, random.Random(seed + n))) for n in range(people)]

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

    def _read(self, client: httpx.Client, person: str, sent: int, chance: random.Random) -> None:
        answer = self._until_answered(
            lambda url: client.get(f"{url}/api/v1/events/count", params={"user_id": person}), chance
        )
        if answer is not None:
            self.reads += 1
            if (seen := answer.json()["data"]["total"]) < sent:
                self.stale.append(f"{person} counts {seen} of {sent}")

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
            if self._stopping.wait(0.02):
                return None
