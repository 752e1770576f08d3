"""The events waiting for their reactions, one queue for each project and mode, and whose turn is next. Judges nothing."""

from collections import deque

import msgspec

from headrace.model.event import Event, Tenant, decode
from headrace.reactions.ruleset import RuleSet

_QUEUE_EVENTS, _QUEUE_BYTES = 20_000, 16 * 1024 * 1024  # of one project and mode
_ALL_QUEUES_BYTES = 128 * 1024 * 1024


class WaitingEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that waits for its turn, with the rules in force at its position in the log."""

    position: int
    id: str
    payload: bytes | Event
    rules: RuleSet
    may_say: bool = False  # whether it may say something about people

    def event(self) -> Event:
        return decode(self.payload) if isinstance(self.payload, bytes) else self.payload


class ReactionQueue:
    """What one project and mode still has to react to.

    reacted: everything up to this position is done. read_upto: if `is_short`, everything later waits in the store.
    """

    def __init__(self, tenant: Tenant, reacted: int, *, is_short: bool = False) -> None:
        self.tenant = tenant
        self.events: deque[WaitingEvent] = deque()
        self.bytes = 0
        self.reacted = self.read_upto = reacted
        self.is_short = is_short

    def add(self, waiting: WaitingEvent) -> None:
        self.events.append(waiting)
        self.bytes += _size(waiting)
        self.read_upto = waiting.position

    def oldest(self) -> int:
        """The position of the oldest waiting event, or one before it while none is in memory. Any thread may call it."""
        try:
            return self.events[0].position
        except IndexError:
            return self.reacted

    def reached(self, last: WaitingEvent, left: int, log_upto: int) -> int:
        """The position up to which everything is done once the event `last` is.

        left: the number of events still waiting. log_upto: how far the log has been read.
        """
        if left:
            return last.position
        return self.read_upto if self.is_short else log_upto

    def drop(self, count: int) -> None:
        for _ in range(count):
            self.bytes -= _size(self.events.popleft())


def _size(waiting: WaitingEvent) -> int:
    return 200 + (len(waiting.payload) if isinstance(waiting.payload, bytes) else len(waiting.payload.properties))


class ReactionQueues:
    """The queues of every project and mode that has events waiting, and whose turn is next.

    Any thread may call `get`, `all` and `len`; the rest is for the reactor's thread.
    """

    def __init__(self) -> None:
        self._queues: dict[Tenant, ReactionQueue] = {}
        self._newcomers: deque[Tenant] = deque()  # wait for their first turn; most need only one
        self._waiting: deque[Tenant] = deque()  # need more than one turn
        self._after_newcomer = False

    def __len__(self) -> int:
        return len(self._queues)

    def get(self, tenant: Tenant) -> ReactionQueue | None:
        return self._queues.get(tenant)

    def all(self) -> list[ReactionQueue]:
        return list(self._queues.values())

    def begin(self, tenant: Tenant, reacted: int, *, is_short: bool = False) -> ReactionQueue:
        """Open a queue for a tenant that has none. is_short: its events wait in the store, not in memory."""
        queue = ReactionQueue(tenant, reacted, is_short=is_short)
        self._queues[tenant] = queue
        (self._waiting if is_short else self._newcomers).append(tenant)
        return queue

    def add(self, queue: ReactionQueue, waiting: WaitingEvent) -> None:
        """Queue an event, or leave it and all later ones in the store if memory is full."""
        if queue.is_short:
            return
        full = len(queue.events) >= _QUEUE_EVENTS or queue.bytes >= _QUEUE_BYTES
        if full or sum(each.bytes for each in self._queues.values()) >= _ALL_QUEUES_BYTES:
            queue.is_short = True
        else:
            queue.add(waiting)

    def next(self) -> ReactionQueue | None:
        """The queue whose turn it is; return it with `end_turn`."""
        if not self._queues:
            return None
        # Newcomers go first, but only every other time, so that many of them cannot keep the others waiting forever.
        self._after_newcomer = bool(self._newcomers) and not (self._after_newcomer and self._waiting)
        return self._queues[(self._newcomers if self._after_newcomer else self._waiting).popleft()]

    def end_turn(self, queue: ReactionQueue) -> None:
        """Line the queue up again if it still has events waiting, else close it."""
        if queue.events or queue.is_short:
            self._waiting.append(queue.tenant)
        else:
            del self._queues[queue.tenant]
