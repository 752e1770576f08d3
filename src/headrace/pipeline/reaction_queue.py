"""What one project and mode has still to react to. Holds events; decides nothing."""

from collections import deque

import msgspec

from headrace.model.event import Event, Tenant, decode
from headrace.reactions.stage import RuleSet


class WaitingEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that waits for its turn, under the rules that were in force where it stands in the log."""

    position: int
    id: str
    payload: bytes | Event
    rules: RuleSet

    def event(self) -> Event:
        return decode(self.payload) if isinstance(self.payload, bytes) else self.payload


class ReactionQueue:
    """What one project and mode has still to react to.

    reacted: everything up to this position is done. read_upto: everything later waits in the store, where `is_short`.
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
        """The position of the event that waits longest; while none is in memory, one before it. Any thread may call it."""
        try:
            return self.events[0].position
        except IndexError:
            return self.reacted

    def drop(self, count: int) -> None:
        for _ in range(count):
            self.bytes -= _size(self.events.popleft())


def _size(waiting: WaitingEvent) -> int:
    return 200 + (len(waiting.payload) if isinstance(waiting.payload, bytes) else len(waiting.payload.properties))
