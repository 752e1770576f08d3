"""What the feed of events to webhooks keeps in control: who wants events, and how far each webhook has been fed."""

from collections.abc import Sequence

import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.leases import require
from headrace.control.outbox import enqueue, new_delivery
from headrace.control.tables.deliveries import webhooks
from headrace.control.webhooks import count_waiting, filters_of
from headrace.model.event import Tenant
from headrace.model.lease import Lease
from headrace.model.webhook import Message
from headrace.ports.deliveries import EventsWanted


class ControlEventFeed:
    """Fits the EventFeedQueue port. For the feed's thread; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine, *, give_up_after_ms: int) -> None:
        self._engine = engine
        self._give_up_after_ms = give_up_after_ms

    def wanted(self, most_waiting: int, /) -> list[EventsWanted]:
        """See the EventFeedQueue port."""
        asked = sa.select(webhooks).where(webhooks.c.status == "enabled", webhooks.c.topics.contains(",event,"))
        with reading(self._engine) as connection:
            return [
                EventsWanted(row.no, row.id, Tenant(row.project, row.mode), filters_of(row.filters), row.position)
                for row in connection.execute(asked)
                if count_waiting(connection, row.no, most_waiting) < most_waiting
            ]

    def feed(
        self, wanted: EventsWanted, messages: Sequence[Message], upto: int, lease: Lease | None, now_ms: int, /
    ) -> None:
        """See the EventFeedQueue port."""
        rows = [new_delivery(wanted.webhook, message, now_ms, self._give_up_after_ms) for message in messages]

        def keep(connection: sa.Connection) -> None:
            moved = (
                sa.update(webhooks)
                .where(webhooks.c.no == wanted.webhook, webhooks.c.status == "enabled")
                .where(webhooks.c.position == wanted.after)
                .values(position=upto)
            )
            if connection.execute(moved).rowcount:  # otherwise it was disabled, deleted, or its position has changed
                enqueue(connection, rows)
            require(connection, lease)

        transact(self._engine, keep)
