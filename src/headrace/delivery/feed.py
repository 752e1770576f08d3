"""Turns stored events into deliveries for the webhooks that subscribe to them. The store does the matching.

Each webhook has its own position, which moves on in the transaction that enqueues. So each matching event is enqueued once.
Events that do not fit into a webhook's queue stay in the store until there is room.
"""

import threading
import time
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager

import structlog

from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import StoredEvent, render_evt
from headrace.model.lease import Lease
from headrace.model.webhook import Message
from headrace.pipeline.loop import Loop
from headrace.ports.control import LeaseLost
from headrace.ports.deliveries import EventFeedQueue, EventsWanted, MatchingEvents

_log = structlog.get_logger("headrace.deliveries")
_AT_ONCE = 200  # events of one webhook per step
_MOST_WAITING = 1_000  # per webhook: the rest waits in the store
_LOOK_EVERY_S = 1.0
_REST = 4  # rests this many times as long as it has worked: at most a fifth of a core, however many webhooks there are
_SHORTEST_REST_S = 0.02


class EventFeed:
    """Works in its own thread, `loop`. Any thread may call `wake`."""

    def __init__(
        self,
        queue: EventFeedQueue,
        store: MatchingEvents,
        render: Callable[[StoredEvent], bytes],
        *,
        visible: Callable[[], int],
        lease: Callable[[], Lease | None],
        on_enqueued: Callable[[Collection[int]], None],
        clock_ms: Callable[[], int],
    ) -> None:
        """render: makes a message's data of an event. visible: up to where events are stored. lease: the sender's."""
        self._queue = queue
        self._store = store
        self._render = render
        self._visible = visible
        self._lease = lease
        self._on_enqueued = on_enqueued
        self._clock_ms = clock_ms
        self.loop = Loop("webhook-events", self.step, idle_s=_LOOK_EVERY_S)
        self._is_wanted = False
        self._feeding = threading.Lock()

    @contextmanager
    def paused(self) -> Generator[None]:
        """Within it nothing is enqueued, and what is enqueued later was read later."""
        with self._feeding:
            yield

    def wake(self) -> None:
        """Announce newly stored events. Costs nothing if no webhook subscribes to events."""
        if self._is_wanted:
            self.loop.wake()

    def step(self) -> bool:
        """Enqueue some events per subscribed webhook. Returns whether there may be more.

        Raises ControlFailed and, once every webhook has had its turn, what the store raised for one of them.
        """
        lease = self._lease()
        if lease is None:
            return False
        began = time.perf_counter()
        upto = self._visible()
        wanted = self._queue.wanted(_MOST_WAITING)
        self._is_wanted = bool(wanted)
        more, failed = False, None
        for each in wanted:
            if each.after >= upto or self.loop.closing:
                continue
            try:
                more |= self._feed(each, upto, lease)
            except LeaseLost:
                return False
            except (InvalidRequest, Unavailable) as error:  # of one webhook, whose filter may take too long
                failed = each, error
        if failed is not None and not more:
            webhook, error = failed
            _log.warning("webhook_events_not_read", project=webhook.tenant.project, webhook=webhook.id)
            raise error
        if wanted:
            self.loop.rest(max(_SHORTEST_REST_S, _REST * (time.perf_counter() - began)))
        return more

    def _feed(self, wanted: EventsWanted, upto: int, lease: Lease) -> bool:
        with self._feeding:
            found, limit = self._matching(wanted, upto)
            more = len(found) >= limit
            reached = found[-1].position if more else upto
            messages = [self._message(event) for event in found if not event.is_history]
            self._queue.feed(wanted, messages, reached, lease, self._clock_ms())
        if messages:
            self._on_enqueued({wanted.webhook})
        return more

    def _matching(self, wanted: EventsWanted, upto: int) -> tuple[list[StoredEvent], int]:
        limit = _AT_ONCE
        while True:
            try:
                return self._store.matching(wanted.tenant, wanted.filters, wanted.after, upto, limit), limit
            except InvalidRequest:  # they are too large
                if limit == 1:
                    raise
                limit = max(1, limit // 8)

    def _message(self, event: StoredEvent) -> Message:
        return Message(key=render_evt(event.id), topic="event", at_ms=event.timestamp_ms, data=self._render(event))
