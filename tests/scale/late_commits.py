"""Statements that reach control only once their sender was taken over from: what it has worked out must count no more.

One schedule of many, in which only the fence within the transaction helps. The former worker is about to say that a project's
reactions have caught up. Meanwhile another takes over, and falls behind with the same project. If what the former one says counted,
whoever comes next would take the project for caught up, and never react to what its predecessor had still to do.
"""

from collections.abc import Callable
from functools import partial

from tests.scale.cluster import Cluster, wait_until
from tests.scale.parts import Parts, until_under_way
from tests.scale.proxy import Proxy
from tests.scale.traffic import RULES
from tests.server import Client, Server
from tests.soak.ledger import Ledger
from tests.waiting import until

_PROJECT, _EVENTS, _SLOWLY_S = "late", 500, 0.05
_BATCHES = 2
_BEHIND = f"SELECT count(*) FROM reaction_progress WHERE project = '{_PROJECT}' AND behind"
_BOOKED = (
    "SELECT coalesce(sum(points), 0) FROM points JOIN participants ON participants.no = points.participant_no "
    f"WHERE participants.project = '{_PROJECT}'"
)


class LateCommits:
    """schedules: how often it came to what the module says; the rest ended earlier, for the machine was too fast or too slow."""

    def __init__(self, cluster: Cluster, parts: Parts, ledger: Ledger) -> None:
        """ledger: where it keeps what it sends."""
        self.schedules = 0
        self._cluster = cluster
        self._parts = parts
        self._ledger = ledger
        self._sent = 0
        self._key = cluster.key("admin", _PROJECT)
        with self._client() as client:
            wait_until(lambda: client.put("/api/v1/rules", content=RULES).is_success, "rules")

    def run(self, take_over: Callable[[str, Server, int], None], kill: Callable[[Server], None]) -> str:
        """Returns what is wrong, or ""."""
        former = self._cluster.active()
        pid, latter = former.pid, self._cluster.other(former)
        to_former, to_latter = self._way_of(former), self._way_of(latter)
        to_former.delay_s = _SLOWLY_S
        self._send()
        until_under_way(self._is_behind)
        until_under_way(lambda: self._booked() == self._sent, 60)
        to_former.stall()
        to_former.delay_s = 0
        take_over("a cut from control", former, pid)
        until_under_way(lambda: not self._is_behind())
        to_latter.delay_s = _SLOWLY_S
        self._send()
        was_behind = until_under_way(self._is_behind)
        to_former.let_go()
        until_under_way(lambda: not self._is_behind() or self._booked() == self._sent, 3)
        self.schedules += was_behind and self._booked() < self._sent
        pid = latter.pid
        kill(latter)
        to_latter.delay_s = 0
        take_over("a kill", latter, pid)
        with self._client() as client:
            wait_until(lambda: client.get(f"/api/v1/participants/{_PROJECT}").is_success, "a participant")
        booked = self._booked()
        return "" if booked == self._sent else f"effects lost: {booked} of {self._sent} events were reacted to"

    def _send(self) -> None:
        with self._client() as client:
            for _ in range(_BATCHES):
                marks = [f"{_PROJECT}-{self._sent + each}" for each in range(_EVENTS)]
                events = [{"name": "n", "user_id": _PROJECT, "idempotency_key": mark} for mark in marks]
                self._ledger.send(marks)
                until(
                    partial(client.post, "/api/v1/events/batch", json={"events": events}),
                    lambda reply: reply.is_success,
                )
                self._ledger.acknowledge(marks)
                self._sent += len(marks)

    def _client(self) -> Client:
        return self._cluster.client(0, self._key)

    def _way_of(self, worker: Server) -> Proxy:
        return self._parts.to_control_of_worker[self._cluster.workers.index(worker)]

    def _is_behind(self) -> bool:
        return bool(self._cluster.scalar(_BEHIND))

    def _booked(self) -> int:
        return self._cluster.scalar(_BOOKED)
