"""The vocabulary of webhooks and deliveries, and the messages for effects. No I/O.

A **message** reports one thing that happened. Each webhook that subscribes to its topic gets a **delivery** of it, which is tried
until the receiver accepts it or its time is over. A **call** is a message for one webhook, whose reply somebody waits for.
Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, get_args

import msgspec

from headrace.model.event import Tenant, render_evt
from headrace.model.filters import Filters
from headrace.model.reaction_state import Caused
from headrace.model.times import render_time_short

Topic = Literal["badge.awarded", "challenge.completed", "points.changed", "journey.called", "journey.ended", "event"]
TOPICS: tuple[Topic, ...] = get_args(Topic)
MessageType = Literal[Topic, "test"]
WebhookStatus = Literal["enabled", "disabled"]
DeliveryStatus = Literal["waiting", "delivered", "dead"]
DELIVERY_STATUSES: tuple[DeliveryStatus, ...] = get_args(DeliveryStatus)

MAX_CALL_BYTES = 256 * 1024  # a call's data
MAX_PROBLEM_CHARS = 300
MOST_ATTEMPTS_KEPT = 20  # the latest ones of a delivery
# It is sent in a header and used in paths. A dot would end it in the signed text.
KEY = re.compile(r"[A-Za-z0-9_:-]{1,200}", re.ASCII)
WEBHOOK_ID = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A report of one thing that happened. Enqueuing the same key again does nothing.

    key: the effect's key, which receivers see as `webhook-id`; see `KEY`. at_ms: when it happened.
    data: a JSON object.
    """

    key: str
    topic: MessageType
    at_ms: int
    data: bytes

    def body(self) -> bytes:
        """The body to send, the same bytes at each attempt."""
        moment = render_time_short(self.at_ms)
        return b'{"type":"%b","timestamp":"%b","data":%b}' % (self.topic.encode(), moment.encode(), self.data)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A message for one webhook whose reply somebody waits for: `reply_to` comes back with the reply unchanged.

    The message's data has at most `MAX_CALL_BYTES`.
    """

    webhook: str
    message: Message
    reply_to: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a call. `status`: the receiver's last HTTP status, 0 if there was none.

    delivered: it was answered with 2xx. json: the reply's text if that was JSON of at most 64 KiB, else b"".
    problem: why it was not delivered, or why a reply has no JSON; "" for neither.
    """

    reply_to: str
    key: str
    webhook: str
    delivered: bool
    status: int
    json: bytes = b""
    problem: str = ""


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver and its subscriptions. `number` is never reused; `id` may be reused once the webhook is deleted.

    filters: of topic "event". reason: why it is disabled. failing_since_ms, problem: set while all attempts fail.
    overlap_until_ms: until when the previous secret also signs; 0 if it does not.
    """

    number: int
    tenant: Tenant
    id: str
    url: str
    topics: tuple[Topic, ...]
    filters: Filters
    status: WebhookStatus
    reason: str = ""
    failing_since_ms: int = 0
    problem: str = ""
    overlap_until_ms: int = 0
    created_at_ms: int


class WebhookChange(msgspec.Struct, frozen=True, kw_only=True):
    """Changes to a webhook; None changes nothing. The previous secret stays valid until `overlap_until_ms`."""

    url: str | None = None
    topics: tuple[Topic, ...] | None = None
    filters: Filters | None = None
    status: WebhookStatus | None = None
    reason: str = ""
    secret: str | None = None
    overlap_until_ms: int = 0


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One try. `status`: the receiver's, 0 if there was none. `problem`: "" if it was accepted."""

    at_ms: int
    took_ms: int
    status: int
    problem: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery of one message to one webhook. `attempts`: the latest `MOST_ATTEMPTS_KEPT` of all `tries`, in order.

    due_at_ms: when a waiting one is tried next. give_up_at_ms: when it is tried for the last time.
    """

    number: int
    key: str
    topic: MessageType
    status: DeliveryStatus
    created_at_ms: int
    due_at_ms: int
    give_up_at_ms: int
    ended_at_ms: int | None
    tries: int
    attempts: Sequence[Attempt]
    problem: str
    body: str


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """The data that sending to a webhook needs: where its deliveries go, and how to sign them. secrets: newest first."""

    number: int
    id: str
    tenant: Tenant
    url: str
    secrets: tuple[str, ...]


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is due. `tries`, `attempts`: the previous ones; see Delivery."""

    number: int
    receiver: Receiver
    key: str
    body: bytes
    give_up_at_ms: int
    tries: int = 0
    attempts: Sequence[Attempt] = ()
    reply_to: str = ""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one try. again_at_ms: when to try again; 0 for never. disables: the receiver answered 410.

    asked_ms: how long the receiver asked to be left alone.

    json, reply_problem: of a call that was delivered, as in Reply.
    """

    due: Due
    attempt: Attempt
    again_at_ms: int = 0
    disables: bool = False
    asked_ms: int = 0
    json: bytes = b""
    reply_problem: str = ""

    @property
    def delivered(self) -> bool:
        return not self.attempt.problem


_TOPIC_OF_KIND: Mapping[str, Topic] = {
    "badge": "badge.awarded",
    "challenge": "challenge.completed",
    "points": "points.changed",
}
_SHOWN = {"badgeId": "badge_id", "challengeId": "challenge_id"}


def topics_of(effects: Sequence[Caused], /) -> set[Topic]:
    """The topics of some effects. Facts have none, because every event has one."""
    kinds = {effect.kind for effect in effects}
    return {topic for kind, topic in _TOPIC_OF_KIND.items() if kind in kinds}


def messages_of(effects: Sequence[Caused], rules: Mapping[int, tuple[str, str]], /) -> Iterator[Message]:
    """A message for each effect with a topic, under the effect's own key. rules: by number, the rule's id and version."""
    for effect in effects:
        topic = _TOPIC_OF_KIND.get(effect.kind)
        if topic is None or effect.detail.get("points") == 0:  # nothing was paid: other versions of the rule had
            continue
        rule_id, version = rules[effect.rule_no]
        data: dict[str, object] = {"event_id": render_evt(effect.event_id), "participant": effect.participant}
        data |= {_SHOWN.get(name, name): value for name, value in effect.detail.items()}
        data |= {"rule": rule_id, "version": version}
        key = f"{render_evt(effect.event_id)}_{effect.rule_no}_{effect.ordinal}_{effect.generation}"
        yield Message(key=key, topic=topic, at_ms=effect.at_ms, data=msgspec.json.encode(data))


def key_of_entry(entry_id: str, rule_no: int, ordinal: int = 0, /) -> str:
    """The key of the message of an entry of the ledger that no event brought."""
    return f"entry_{entry_id}_{rule_no}" + (f"_{ordinal}" if ordinal else "")


def message_of_entry(
    entry_id: str,
    rule_no: int,
    at_ms: int,
    participant: str,
    points: int,
    kind: str,
    reason: str,
    rule_id: str = "",
    ordinal: int = 0,
) -> Message:
    """Of an entry of the ledger that no event brought: granted by an admin, or a correction of what a rule has paid."""
    data: dict[str, object] = {"event_id": None, "participant": participant, "points": points, "entry": kind}
    data |= {"reason": reason or None, "rule": rule_id or None}
    key = key_of_entry(entry_id, rule_no, ordinal)
    return Message(key=key, topic="points.changed", at_ms=at_ms, data=msgspec.json.encode(data))
