"""What makes an event a repeat of another: its key, from what is stored of it. Pure.

Asked when the event comes, when it is traced, and when lost keys are learnt again, so that the three cannot say different things.
"""

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from headrace.model.event import Event

_BATCH = "\x1f"  # no header holds it, so no single event's key is that of one in a batch


class _CloudEvent(msgspec.Struct):
    source: str = ""


_cloud_event_decoder = msgspec.json.Decoder(_CloudEvent)


def dedup_key(event: Event, /) -> bytes:
    """16 bytes that stand for the event's key within its project, mode and source; b"" for one without a message id."""
    if not event.message_id:
        return b""
    seed = f"{event.project}\0{event.mode}\0{event.source}\0{dedup_text(event)}"
    return blake2b(seed.encode(), digest_size=16).digest()


def dedup_text(event: Event, /) -> str:
    """What no two events of a project, a mode and a source have in common; "" for one without a message id."""
    made_of = _MADE_OF.get(event.source)
    if made_of is None or not event.message_id:
        return event.message_id
    return event.request_id or made_of(event)


def named_by_header(event: Event, header: str, place: str = "", /) -> Event:
    """The event with the key of its request's `Idempotency-Key`, which wins over its own; `place`: which of a batch's it is.

    A message id that is more than a key stays beside it: then the header's is the request id, which those sources do not have.
    """
    key = f"{header}{_BATCH}{place}" if place else header
    if event.source in _MADE_OF:
        return msgspec.structs.replace(event, request_id=key, message_id=event.message_id or key)
    return msgspec.structs.replace(event, message_id=key)


class Places:
    """Tells the items of one batch apart, the same way whenever they are sent again: by their bytes, and equal ones by number.

    Not by their index: a sender that leaves out what was stored, and sends what was refused corrected, sends something new.
    Events from before, which are named by their index, keep the keys that are made of their stored names.
    """

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def of(self, item: bytes | msgspec.Raw, /) -> str:
        digest = blake2b(item, digest_size=16).hexdigest()
        earlier = self._seen[digest]
        self._seen[digest] += 1
        return f"{digest}{_BATCH}{earlier}" if earlier else digest


def _by_message_id(event: Event) -> str:
    return event.message_id


def _by_device(event: Event) -> str:
    """Source: https://amplitude.com/docs/apis/analytics/http-v2 (insert_id)"""
    return f"{event.anonymous_id or event.user_id}\0{event.message_id}"


def _by_four(event: Event) -> str:
    """Source: https://developer.mixpanel.com/reference/event-deduplication"""
    who, when = (event.labels.get(name) or event.numbers.get(name) for name in ("distinct_id", "time"))
    return f"{event.name}\0{who}\0{when}\0{event.message_id}"


def _by_origin(event: Event) -> str:
    """Source: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#id"""
    return f"{_cloud_event_decoder.decode(event.context).source}\0{event.message_id}"


# The sources whose message ids are more than keys, and what their keys are made of. All others' message ids are their keys.
_MADE_OF: dict[str, Callable[[Event], str]] = {
    "solute": _by_message_id,
    "segment": _by_message_id,
    "posthog": _by_message_id,
    "amplitude": _by_device,
    "mixpanel": _by_four,
    "cloudevents": _by_origin,
}
