"""Works through the queue of deliveries: hands due ones to the sender and saves their outcomes, a batch at a time.

Only one process does so at a time, under the lease "deliveries". After a crash between a try and its record, the try is repeated
with the same key and body: at least once on the wire, once in state.
"""

import secrets
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress

import msgspec
import structlog

from headrace.delivery.sender import ENOUGH_FAILURES, Sender
from headrace.model.lease import Lease
from headrace.model.webhook import Due, Tried
from headrace.pipeline.loop import Loop
from headrace.ports.control import ControlFailed, LeaseLost, Leases
from headrace.ports.deliveries import DeliveryQueue

_log = structlog.get_logger("headrace.deliveries")
LEASE = "deliveries"
_LOOK_EVERY_MS = 500  # for deliveries that another process has enqueued, and for retries
_TIDY_EVERY_MS = 2_000
_BATCH_S = 0.01  # the outcomes of this time are recorded in one commit
_AHEAD = 200  # deliveries of one receiver in memory
_AHEAD_BYTES = 4 * 1024 * 1024
_ALL_BYTES = 64 * 1024 * 1024
_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 1_000, 60_000


class _Health(msgspec.Struct):
    """A receiver's number of consecutive failures, and when it is tried again."""

    failures: int = 0
    again_at_ms: int = 0
    url: str = ""


class Counts(msgspec.Struct):
    """Counts since the start. `failed`: failed tries that are retried. `dead`: deliveries that were given up."""

    delivered: int = 0
    failed: int = 0
    dead: int = 0


class Deliverer:
    """Any thread may call `start`, `stop`, `enqueued` and the reading methods."""

    def __init__(
        self,
        queue: DeliveryQueue,
        leases: Leases,
        make_sender: Callable[[Callable[[], None]], Sender],
        *,
        clock_ms: Callable[[], int],
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """make_sender: called with a function that the sender calls after each try.

        on_step: called with "delivered" when there are outcomes to record, with "recorded" once they are.
        """
        self.counts = Counts()
        self.lease: Lease | None = None
        self._queue = queue
        self._leases = leases
        self._owner = secrets.token_hex(8)
        self._clock_ms = clock_ms
        self._on_step = on_step
        self._loop = Loop("deliveries", self.step, idle_s=_LOOK_EVERY_MS / 1000)
        self._sender = make_sender(self._loop.wake)
        self._held: dict[int, dict[int, int]] = {}  # by receiver: the bytes of each delivery that the sender has
        self._tried: list[Tried] = []  # not recorded yet
        self._health: dict[int, _Health] = {}
        self._enqueued: set[int] = set()  # receivers with new deliveries; other threads add to it
        self._touched: set[int] = set()  # receivers to clean up after
        self._looked_at_ms = self._tidied_at_ms = 0

    @property
    def failing(self) -> str:
        """The error that deliveries are stuck at, or ""."""
        return self._loop.failing

    def start(self) -> None:
        self._sender.start()
        self._loop.start()

    def stop(self) -> None:
        """Stop after the current step, and record the tries that end soon."""
        self._loop.stop()
        self._sender.stop()
        with suppress(ControlFailed, LeaseLost):  # otherwise they are repeated
            self._record()
        if self.lease is not None:
            with suppress(ControlFailed):  # otherwise it expires
                self._leases.release(self.lease)
            self.lease = None

    def enqueued(self, webhooks: Collection[int], /) -> None:
        """Announce that these webhooks have new deliveries, committed by now or in a moment."""
        self._enqueued.update(webhooks)
        self._loop.wake()

    def in_memory(self) -> int:
        """How many deliveries are being tried, or are next."""
        return sum(map(len, list(self._held.values())))

    def step(self) -> bool:
        """Record, refill, clean up. Returns whether to go on at once. Raises ControlFailed."""
        if self.lease is None:
            self.lease = self._leases.take(LEASE, self._owner)
            if self.lease is None:
                return False
        try:
            tried = self._record()
            begun = self._refill({each.due.receiver.number for each in tried})
            more = self._tidy()
        except LeaseLost:
            _log.warning("deliveries_taken_over")
            self.lease = None
            self._held.clear()
            self._tried.clear()
            return False
        if tried or begun:
            self._loop.rest(_BATCH_S)
        return bool(tried or begun or more)

    def _record(self) -> list[Tried]:
        """1. Save the outcomes of tries. A crash before the commit repeats the tries; a failed commit is retried."""
        for number, delivery in self._sender.returned():
            self._let_go(number, delivery)
        self._tried += self._sender.tried()
        if not self._tried:
            return []
        now_ms = self._clock_ms()
        self._on_step("delivered")
        self._queue.record(self._tried, self.lease, now_ms)
        self._on_step("recorded")
        tried, self._tried = self._tried, []
        for each in tried:
            self._let_go(each.due.receiver.number, each.due.number)
            self._touched.add(each.due.receiver.number)
            self._count(each)
            self._note_health(each, now_ms)
        return tried

    def _let_go(self, number: int, delivery: int) -> None:
        held = self._held.get(number, {})
        held.pop(delivery, None)
        if not held:
            self._held.pop(number, None)

    def _count(self, tried: Tried) -> None:
        if tried.delivered:
            self.counts.delivered += 1
        elif tried.again_at_ms:
            self.counts.failed += 1
        else:
            self.counts.dead += 1
            due = tried.due
            _log.warning("delivery_dead", webhook=due.receiver.id, delivery=due.key, why=tried.attempt.problem)
        if tried.disables:
            _log.warning(
                "webhook_disabled",
                project=tried.due.receiver.tenant.project,
                webhook=tried.due.receiver.id,
                why=tried.attempt.problem,
            )

    def _note_health(self, tried: Tried, now_ms: int) -> None:
        """Try a receiver that keeps failing only once in a while, until it answers."""
        number = tried.due.receiver.number
        if tried.delivered:
            self._health.pop(number, None)
            return
        health = self._health.setdefault(number, _Health(url=tried.due.receiver.url))
        health.failures += 1
        pause_ms = tried.asked_ms
        if health.failures >= ENOUGH_FAILURES:
            grown = _FIRST_PAUSE_MS * 2 ** min(health.failures - ENOUGH_FAILURES, 10)
            pause_ms = max(pause_ms, min(grown, _LONGEST_PAUSE_MS))
        if pause_ms:
            self._sender.recall(number)
        health.again_at_ms = max(health.again_at_ms, now_ms + pause_ms)

    def _refill(self, freed: Iterable[int]) -> bool:
        """2. Hand due deliveries to the sender. Returns whether there were any. A crash after this changes nothing."""
        now_ms = self._clock_ms()
        everyone = now_ms - self._looked_at_ms >= _LOOK_EVERY_MS
        among = set(freed)
        while self._enqueued:
            among.add(self._enqueued.pop())
        if not everyone and not among:
            return False
        self._touched |= among
        begun = False
        for receiver in self._queue.ready(now_ms, None if everyone else among):
            room = self._room(receiver.number, receiver.url, now_ms)
            held = self._held.get(receiver.number, {})
            if room <= 0:
                continue
            due = self._queue.due(receiver, now_ms, room, _AHEAD_BYTES, held.keys())
            if due:
                self._hold(due)
                self._sender.submit(due)
                begun = True
        if everyone:
            self._looked_at_ms = now_ms
        return begun

    def _room(self, number: int, url: str, now_ms: int) -> int:
        """How many more deliveries of a receiver fit into memory."""
        held = self._held.get(number, {})
        health = self._health.get(number)
        if health is not None and health.url != url:  # its URL has changed
            del self._health[number]
            health = None
        if health is not None and health.again_at_ms > now_ms:
            return 0
        if health is not None and health.failures >= ENOUGH_FAILURES:
            return 1 - len(held)
        all_bytes = sum(size for each in self._held.values() for size in each.values())
        if sum(held.values()) >= _AHEAD_BYTES or all_bytes >= _ALL_BYTES:
            return 1 - len(held)
        return _AHEAD - len(held) if len(held) <= _AHEAD // 2 else 0

    def _hold(self, due: Iterable[Due]) -> None:
        for each in due:
            self._held.setdefault(each.receiver.number, {})[each.number] = len(each.body)

    def _tidy(self) -> bool:
        """3. End deliveries that will never be sent, and delete old ones, a few at a time. Returns whether there is more."""
        now_ms = self._clock_ms()
        if now_ms - self._tidied_at_ms < _TIDY_EVERY_MS:
            return False
        besides = {number for held in self._held.values() for number in held}
        more = self._queue.tidy(self._touched, besides, self.lease, now_ms)
        if not more:
            self._touched.clear()
            self._tidied_at_ms = now_ms
        return more
