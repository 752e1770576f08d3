"""The outbox: writes deliveries in the transaction of the change that they report. Sends nothing."""

from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import sqlalchemy as sa

from headrace.control.database import insert
from headrace.control.tables.deliveries import deliveries, webhooks
from headrace.control.tables.rules import rules
from headrace.model.event import Tenant
from headrace.model.reaction_state import Caused
from headrace.model.webhook import KEY, MAX_CALL_BYTES, Call, Message, Reply, Topic, messages_of, topics_of
from headrace.ports.deliveries import ReplyHandler

FULL = "As many deliveries as may wait were waiting already."
_CALLED: Topic = "journey.called"
_AT_ONCE = 500  # numbers in one IN list


class ControlOutbox:
    """Fits the Outbox port. Any thread may call it."""

    def __init__(
        self,
        replies: ReplyHandler,
        *,
        clock_ms: Callable[[], int],
        give_up_after_ms: int,
        on_enqueued: Callable[[Collection[int]], None] = lambda _webhooks: None,
    ) -> None:
        """on_enqueued: called with the numbers of webhooks that get new deliveries, within the transaction, before its commit."""
        self._replies = replies
        self._clock_ms = clock_ms
        self._give_up_after_ms = give_up_after_ms
        self._on_enqueued = on_enqueued

    def publish(self, transaction: object, tenant: Tenant, messages: Sequence[Message], /) -> None:
        """See the Outbox port."""
        connection = cast("sa.Connection", transaction)
        if messages and (receivers := _receivers(connection, tenant, {message.topic for message in messages})):
            self._publish(connection, receivers, messages)

    def effects(self, transaction: object, tenant: Tenant, effects: Sequence[Caused], /) -> None:
        """See the Outbox port."""
        topics = topics_of(effects)
        if not topics:
            return
        connection = cast("sa.Connection", transaction)
        receivers = _receivers(connection, tenant, topics)
        if not receivers:
            return
        told = _rules(connection, {effect.rule_no for effect in effects if effect.rule_no})
        self._publish(connection, receivers, list(messages_of(effects, told)))

    def call(self, transaction: object, tenant: Tenant, calls: Sequence[Call], /) -> None:
        """See the Outbox port."""
        connection = cast("sa.Connection", transaction)
        named = {call.webhook for call in calls}
        asked = sa.select(webhooks).where(_of(tenant), webhooks.c.id.in_(sorted(named)))
        found = {row.id: row for row in connection.execute(asked)}
        rows: list[dict[str, object]] = []
        refused: list[Reply] = []
        for call in calls:
            if len(call.message.data) > MAX_CALL_BYTES:
                raise ValueError(f"A call has {len(call.message.data)} bytes of data; the limit is {MAX_CALL_BYTES}.")
            receiver = found.get(call.webhook)
            problem = _refusal(call.webhook, receiver)
            if receiver is not None:
                rows.append(self._row(receiver, call.message, problem, call.reply_to))
            if problem:
                refused.append(
                    Reply(
                        reply_to=call.reply_to,
                        key=call.message.key,
                        webhook=call.webhook,
                        delivered=False,
                        status=0,
                        problem=problem,
                    )
                )
        enqueue(connection, rows)
        if refused:
            self._replies.keep(connection, tenant, refused)
        if rows:
            self._on_enqueued({row.no for row in found.values()})

    def _publish(
        self, connection: sa.Connection, receivers: Sequence[sa.Row[Any]], messages: Sequence[Message]
    ) -> None:
        rows = [
            self._row(receiver, message, FULL if receiver.is_full else "", "")
            for receiver in receivers
            for message in messages
            if f",{message.topic}," in receiver.topics
        ]
        enqueue(connection, rows)
        if rows:
            self._on_enqueued({receiver.no for receiver in receivers})

    def _row(self, receiver: sa.Row[Any], message: Message, problem: str, reply_to: str) -> dict[str, object]:
        return new_delivery(receiver.no, message, self._clock_ms(), self._give_up_after_ms, problem, reply_to)


def new_delivery(
    webhook_no: int, message: Message, now_ms: int, give_up_after_ms: int, problem: str = "", reply_to: str = ""
) -> dict[str, object]:
    """A delivery's row. With a problem, it is dead from the start. Raises ValueError for a key that cannot be sent."""
    if not KEY.fullmatch(message.key):
        raise ValueError(f"{message.key!r} cannot be a message's key.")
    return {
        "webhook_no": webhook_no,
        "key": message.key,
        "topic": message.topic,
        "body": message.body().decode(),
        "reply_to": reply_to,
        "status": "dead" if problem else "waiting",
        "created_at_ms": now_ms,
        "due_at_ms": now_ms,
        "give_up_at_ms": now_ms + give_up_after_ms,
        "ended_at_ms": now_ms if problem else None,
        "tries": 0,
        "attempts": "[]",
        "problem": problem,
    }


def enqueue(connection: sa.Connection, rows: Sequence[dict[str, object]], /) -> None:
    """Insert deliveries, except those whose key their webhook already had."""
    if rows:
        connection.execute(insert(connection, deliveries).on_conflict_do_nothing(), rows)


def _refusal(webhook_id: str, receiver: sa.Row[Any] | None) -> str:
    if receiver is None:
        return f"There is no webhook {webhook_id[:80]!r}."
    if receiver.status != "enabled":
        return f"The webhook {webhook_id!r} is disabled."
    if f",{_CALLED}," not in receiver.topics:
        return f"The webhook {webhook_id!r} does not have the topic {_CALLED!r}."
    return FULL if receiver.is_full else ""


def _receivers(connection: sa.Connection, tenant: Tenant, topics: Collection[str]) -> list[Any]:
    """The tenant's enabled webhooks that subscribe to any of some topics."""
    asked = sa.select(webhooks.c.no, webhooks.c.topics, webhooks.c.is_full)
    rows = connection.execute(asked.where(_of(tenant), webhooks.c.status == "enabled").order_by(webhooks.c.no))
    return [row for row in rows if any(f",{topic}," in row.topics for topic in topics)]


def _rules(connection: sa.Connection, numbers: Collection[int]) -> dict[int, tuple[str, str]]:
    ordered = sorted(numbers)
    found: dict[int, tuple[str, str]] = {}
    for start in range(0, len(ordered), _AT_ONCE):
        asked = sa.select(rules.c.no, rules.c.rule_id, rules.c.version).where(
            rules.c.no.in_(ordered[start : start + _AT_ONCE])
        )
        found |= {row.no: (row.rule_id, row.version) for row in connection.execute(asked)}
    return found


def _of(tenant: Tenant) -> sa.ColumnElement[bool]:
    return sa.and_(webhooks.c.project == tenant.project, webhooks.c.mode == tenant.mode)
