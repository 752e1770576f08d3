"""Deliveries: the outbox that effects are written to in their own transaction, and the queue that the sender works through.

Nothing is ever sent inside a transaction. Everything raises ControlFailed. Two adapters hold to all of it: SQLite and PostgreSQL.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

import msgspec

from headrace.model.event import StoredEvent, Tenant
from headrace.model.filters import Filters
from headrace.model.lease import Lease
from headrace.model.reaction_state import Caused
from headrace.model.webhook import (
    Call,
    Delivery,
    DeliveryStatus,
    Due,
    Message,
    Receiver,
    Reply,
    Tried,
    Webhook,
    WebhookChange,
)


class Outbox(Protocol):
    """Where what happens leaves word of itself: in the transaction in which it happens, so both are kept or neither is."""

    def publish(self, transaction: object, tenant: Tenant, messages: Sequence[Message], /) -> None:
        """Enqueue a delivery of each message for every enabled webhook of the tenant that wants its topic.

        A message whose key the webhook has had is not enqueued again. Without such a webhook it costs one look at an index.
        """
        ...

    def call(self, transaction: object, tenant: Tenant, calls: Sequence[Call], /) -> None:
        """Enqueue messages for one webhook each, and have the replies handed to whoever is registered for them.

        The webhook has to want the topic "journey.called". Where it is not there, is disabled or does not want it, the call ends
        at once: its reply, which says so, is handed over within this transaction. A key that the webhook has had is not
        enqueued again. Raises ValueError for a key that a Message may not have, and for too much data.
        """
        ...

    def effects(self, transaction: object, tenant: Tenant, effects: Sequence[Caused], /) -> None:
        """`publish` what some effects are worth telling."""
        ...


class ReplyHandler(Protocol):
    """Is told how calls have ended. Calls come from the sender's thread."""

    def keep(self, transaction: object, tenant: Tenant, replies: Sequence[Reply], /) -> None:
        """Write down replies in the transaction that ends their deliveries, so that each end is told once, crash or not.

        Must be short, and only write to control. A delivery that an operator sends again ends again, and is told again: pass
        over replies that nobody waits for. What it raises undoes the transaction, and all of it is tried again later.
        """
        ...

    def kept(self) -> None:
        """That transaction is committed: replies may be there to be worked on."""
        ...


class WebhookStore(Protocol):
    """A project's and mode's webhooks, for those who set them up."""

    def create(self, webhook: Webhook, secret: str, last: Callable[[], int], /) -> Webhook:
        """Keep a new webhook, with its number. A new project is made with it.

        last: asked within the transaction for the last acknowledged event's position; topic "event" begins after it.
        Raises InvalidRequest for an id that is taken, and where the tenant has as many as it may.
        """
        ...

    def get(self, tenant: Tenant, webhook_id: str, /) -> Webhook:
        """Raises NotFound."""
        ...

    def listed(self, tenant: Tenant, after: str, limit: int, /) -> list[tuple[Webhook, int]]:
        """Webhooks by id, past an id, each with how many deliveries wait for it, counted up to the limit for them."""
        ...

    def change(self, tenant: Tenant, webhook_id: str, change: WebhookChange, last: Callable[[], int], /) -> Webhook:
        """Raises NotFound.

        A webhook that begins to want events, or that is enabled again, gets those after `last`. One that is disabled gets
        nothing more: what waits for it ends as dead.
        """
        ...

    def remove(self, tenant: Tenant, webhook_id: str, /) -> None:
        """Nothing more is sent to it; its deliveries are deleted soon, and its id is free at once. Raises NotFound."""
        ...


class DeliveryLog(Protocol):
    """What has become of deliveries, and sending them again."""

    def listed(self, webhook: int, status: DeliveryStatus | None, before: int, limit: int, /) -> list[Delivery]:
        """A webhook's deliveries before a number, the newest first."""
        ...

    def get(self, webhook: int, key: str, /) -> Delivery:
        """Raises NotFound."""
        ...

    def add(self, webhook: int, message: Message, now_ms: int, /) -> Delivery:
        """Enqueue a message for a webhook alone, whatever topics it has, to be tried once."""
        ...

    def again(self, webhook: int, key: str, now_ms: int, give_up_at_ms: int, /) -> Delivery:
        """Have one delivery that has ended tried again, under the same key; one that waits is due at once. Raises NotFound."""
        ...

    def all_again(
        self,
        webhook: int,
        span: tuple[int, int],
        status: DeliveryStatus,
        limit: int,
        now_ms: int,
        give_up_at_ms: int,
        /,
    ) -> int:
        """As `again`, the oldest `limit` of those with a status that were created within a span of milliseconds; how many."""
        ...


class DeliveryQueue(Protocol):
    """Deliveries, for the one process that sends them. What it writes, it writes under its lease; else LeaseLost."""

    def ready(self, now_ms: int, among: Collection[int] | None, /) -> list[Receiver]:
        """The enabled webhooks that have deliveries due by now; of all, or of those with some numbers."""
        ...

    def due(
        self, receiver: Receiver, now_ms: int, limit: int, max_bytes: int, besides: Collection[int], /
    ) -> list[Due]:
        """At most so many of a webhook's deliveries that are due, the longest due first, besides those of some numbers.

        Only the last may go beyond so many bytes of bodies.
        """
        ...

    def record(self, tried: Sequence[Tried], lease: Lease | None, now_ms: int, /) -> None:
        """Keep what tries have come to, hand over the replies to calls that have ended, and disable webhooks that said 410."""
        ...

    def tidy(self, touched: Collection[int], besides: Collection[int], lease: Lease | None, now_ms: int, /) -> bool:
        """A little of what is to be done from time to time; whether there may be more.

        Ends deliveries that wait past their time or for a webhook that is disabled, besides those of some numbers; deletes what
        ended long ago and what belonged to deleted webhooks; and marks webhooks that have as many waiting as they may.
        touched: webhooks whose deliveries have changed; of the others a few are looked at each time.
        """
        ...


class EventsWanted(msgspec.Struct, frozen=True):
    """A webhook that wants events: those of the tenant after a position that match the filters."""

    webhook: int
    id: str
    tenant: Tenant
    filters: Filters
    after: int


class EventFeedQueue(Protocol):
    """For what turns events into deliveries, under the sender's lease."""

    def wanted(self, most_waiting: int, /) -> list[EventsWanted]:
        """The enabled webhooks that want events and have less than so many deliveries waiting."""
        ...

    def feed(
        self, wanted: EventsWanted, messages: Sequence[Message], upto: int, lease: Lease | None, now_ms: int, /
    ) -> None:
        """Enqueue messages, and note that all events up to a position are: in one transaction, unless somebody else has."""
        ...


class MatchingEvents(Protocol):
    """Stored events in the order of the log."""

    def matching(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        """At most so many matching events with `after` < position <= `upto`, by position. Raises what `in_order` raises."""
        ...
