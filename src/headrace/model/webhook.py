"""Webhooks and what is delivered to them: the words, and the messages that effects become. No I/O.

A **message** is one thing worth telling; each webhook that wants its topic gets a **delivery** of it, which is tried until the
receiver takes it or the time for it is over. A **call** is a message for one webhook, whose reply somebody waits for.
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
MOST_ATTEMPTS_KEPT = 20  # of one delivery, the latest
# It is sent as a header and shown in a path; a dot would end it in what is signed.
KEY = re.compile(r"[A-Za-z0-9_:-]{1,200}", re.ASCII)
WEBHOOK_ID = re.compile(r"[a-z0-9_-]{1,64}", re.ASCII)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One thing worth telling, at most once by its key: who enqueues it again enqueues nothing.

    key: what the effect goes by, and the `webhook-id` that its receivers see; see `KEY`. at_ms: when it happened.
    data: a JSON object.
    """

    key: str
    topic: MessageType
    at_ms: int
    data: bytes

    def body(self) -> bytes:
        """What is sent, the same bytes at each attempt."""
        moment = render_time_short(self.at_ms)
        return b'{"type":"%b","timestamp":"%b","data":%b}' % (self.topic.encode(), moment.encode(), self.data)


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A message for one webhook, and who waits for the reply: `reply_to` comes back with it as it was given.

    The message's data has at most `MAX_CALL_BYTES`.
    """

    webhook: str
    message: Message
    reply_to: str


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """How a call has ended. `status`: the receiver's last HTTP status, 0 if there was none.

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
    """A receiver and what it wants. `number` is its own for ever; `id` may be another's once it is deleted.

    filters: of topic "event". reason: why it is disabled. failing_since_ms, problem: set while attempts fail, one after another.
    overlap_until_ms: until when the secret before this one signs, too; 0 for not at all.
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
    """What is to be different; None stays as it is. A new secret leaves the one before valid until `overlap_until_ms`."""

    url: str | None = None
    topics: tuple[Topic, ...] | None = None
    filters: Filters | None = None
    status: WebhookStatus | None = None
    reason: str = ""
    secret: str | None = None
    overlap_until_ms: int = 0


class Attempt(msgspec.Struct, frozen=True, array_like=True):
    """One try. `status`: the receiver's, 0 for none. `problem`: "" if it was taken."""

    at_ms: int
    took_ms: int
    status: int
    problem: str


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What has become of one message for one webhook. `attempts`: the latest `MOST_ATTEMPTS_KEPT` of `tries`, in order.

    due_at_ms: when a waiting one is tried next. give_up_at_ms: when it is tried last.
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
    """Where a webhook's deliveries go and what signs them: whatever sending needs. secrets: the newest first."""

    number: int
    id: str
    tenant: Tenant
    url: str
    secrets: tuple[str, ...]


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that is to be tried now. `tries`, `attempts`: those before; see Delivery."""

    number: int
    receiver: Receiver
    key: str
    body: bytes
    give_up_at_ms: int
    tries: int = 0
    attempts: Sequence[Attempt] = ()
    reply_to: str = ""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What one try has come to. again_at_ms: when to try again; 0 for no more. disables: the receiver said so (410).

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
    """What there is to tell of some effects: nothing of facts, which every event has."""
    kinds = {effect.kind for effect in effects}
    return {topic for kind, topic in _TOPIC_OF_KIND.items() if kind in kinds}


def messages_of(effects: Sequence[Caused], rules: Mapping[int, tuple[str, str]], /) -> Iterator[Message]:
    """A message for each effect with a topic, under the effect's own key. rules: by number, the rule's id and version."""
    for effect in effects:
        topic = _TOPIC_OF_KIND.get(effect.kind)
        if topic is None:
            continue
        rule_id, version = rules[effect.rule_no]
        data: dict[str, object] = {"event_id": render_evt(effect.event_id), "participant": effect.participant}
        data |= {_SHOWN.get(name, name): value for name, value in effect.detail.items()}
        data |= {"rule": rule_id, "version": version}
        key = f"{render_evt(effect.event_id)}_{effect.rule_no}_{effect.ordinal}_{effect.generation}"
        yield Message(key=key, topic=topic, at_ms=effect.at_ms, data=msgspec.json.encode(data))
