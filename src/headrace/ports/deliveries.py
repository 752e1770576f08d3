"""Deliveries: the outbox that effects are written to in their own transaction, and the queue that the sender works through.

Nothing is ever sent inside a transaction. Everything raises ControlFailed.
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
    """Enqueues deliveries in the transaction of the change that they report, so that both are committed or neither is."""

    def publish(self, transaction: object, tenant: Tenant, messages: Sequence[Message], /) -> None:
        """Enqueue a delivery of each message for every enabled webhook of the tenant that wants its topic.

        A message with a key that the webhook has already had is not enqueued again. Costs one index look-up if there is no such
        webhook.
        """
        ...

    def call(self, transaction: object, tenant: Tenant, calls: Sequence[Call], /) -> None:
        """Enqueue messages, each for one webhook. The replies go to the registered ReplyHandler.

        The webhook must subscribe to the topic "journey.called". If it does not, is missing or is disabled, the call ends at
        once, and a reply that says so is handed over within this transaction. A key that the webhook has already had is not
        enqueued again. Raises ValueError for a key that a Message may not have, and for too much data.
        """
        ...

    def effects(self, transaction: object, tenant: Tenant, effects: Sequence[Caused], /) -> None:
        """`publish` the messages of some effects."""
        ...


class ReplyHandler(Protocol):
    """Receives the outcomes of calls. Called from the sender's thread."""

    def keep(self, transaction: object, tenant: Tenant, replies: Sequence[Reply], /) -> None:
        """Save replies in the transaction that ends their deliveries, so that each outcome is handed over once, crash or not.

        Must be short, and only write to control. If an operator resends a delivery, its outcome is handed over again, so ignore
        replies that nobody waits for. If it raises, the transaction is undone and all of it is retried later.
        """
        ...

    def kept(self) -> None:
        """Called after that transaction has been committed: there may be replies to work on."""
        ...


class WebhookStore(Protocol):
    """The webhooks of each project and mode, for managing them."""

    def create(self, webhook: Webhook, secret: str, last: Callable[[], int], /) -> Webhook:
        """Create a webhook, and its project if that is new. Returns it with its number.

        last: called within the transaction for the last acknowledged event's position; topic "event" begins after it.
        Raises InvalidRequest if the id is taken, or the tenant has reached its limit.
        """
        ...

    def get(self, tenant: Tenant, webhook_id: str, /) -> Webhook:
        """Raises NotFound."""
        ...

    def listed(self, tenant: Tenant, after: str, limit: int, /) -> list[tuple[Webhook, int]]:
        """Webhooks ordered by id, after an id, each with its number of waiting deliveries, counted up to their limit."""
        ...

    def change(self, tenant: Tenant, webhook_id: str, change: WebhookChange, last: Callable[[], int], /) -> Webhook:
        """Raises NotFound.

        A webhook that newly subscribes to events, or is enabled again, gets the events after `last`. A disabled webhook gets
        nothing more, and its waiting deliveries become dead.
        """
        ...

    def remove(self, tenant: Tenant, webhook_id: str, /) -> None:
        """Delete a webhook. Nothing more is sent to it, its id is free at once, and its deliveries go soon. Raises NotFound."""
        ...


class DeliveryLog(Protocol):
    """The history of deliveries, and resending them."""

    def listed(self, webhook: int, status: DeliveryStatus | None, before: int, limit: int, /) -> list[Delivery]:
        """A webhook's deliveries before a number, the newest first."""
        ...

    def get(self, webhook: int, key: str, /) -> Delivery:
        """Raises NotFound."""
        ...

    def add(self, webhook: int, message: Message, now_ms: int, /) -> Delivery:
        """Enqueue a message for one webhook, whatever its topics, to be tried once."""
        ...

    def again(self, webhook: int, key: str, now_ms: int, give_up_at_ms: int, /) -> Delivery:
        """Retry a delivery that has ended, under the same key; a waiting one becomes due at once. Raises NotFound."""
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
        """Like `again`, for the oldest `limit` with a status created within a span of milliseconds. Returns how many."""
        ...


class DeliveryQueue(Protocol):
    """Deliveries, for the one process that sends them. It writes under its lease; every write may raise LeaseLost."""

    def ready(self, now_ms: int, among: Collection[int] | None, /) -> list[Receiver]:
        """The enabled webhooks with due deliveries: of all webhooks, or of those with the given numbers."""
        ...

    def due(
        self, receiver: Receiver, now_ms: int, limit: int, max_bytes: int, besides: Collection[int], /
    ) -> list[Due]:
        """Up to `limit` of a webhook's due deliveries, longest due first, except the numbers in `besides`.

        Stops after the one that reaches `max_bytes` of bodies.
        """
        ...

    def record(self, tried: Sequence[Tried], lease: Lease | None, now_ms: int, /) -> None:
        """Save the outcomes of tries, hand over the replies of calls that have ended, and disable webhooks that answered 410."""
        ...

    def tidy(self, touched: Collection[int], besides: Collection[int], lease: Lease | None, now_ms: int, /) -> bool:
        """Do a little periodic cleaning. Returns whether there may be more to do.

        Ends deliveries that have waited too long or wait for a disabled webhook, except the numbers in `besides`; deletes old
        ended deliveries and those of deleted webhooks; and marks webhooks that have reached their limit of waiting deliveries.
        touched: webhooks whose deliveries have changed. A few of the others are checked each time.
        """
        ...


class EventsWanted(msgspec.Struct, frozen=True):
    """A webhook that subscribes to events: those of its tenant after a position that match the filters."""

    webhook: int
    id: str
    tenant: Tenant
    filters: Filters
    after: int


class EventFeedQueue(Protocol):
    """For the feed that turns events into deliveries, under the sender's lease."""

    def wanted(self, most_waiting: int, /) -> list[EventsWanted]:
        """The enabled webhooks that subscribe to events and have fewer waiting deliveries than a limit."""
        ...

    def feed(
        self, wanted: EventsWanted, messages: Sequence[Message], upto: int, lease: Lease | None, now_ms: int, /
    ) -> None:
        """Enqueue messages and advance the webhook's position in one transaction, unless somebody else has advanced it."""
        ...


class MatchingEvents(Protocol):
    """Stored events in log order."""

    def matching(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[StoredEvent]:
        """Up to `limit` matching events with `after` < position <= `upto`, by position. Raises what `in_order` raises."""
        ...
