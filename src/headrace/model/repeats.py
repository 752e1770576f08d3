"""What makes an event a repeat of another: its dedup key, computed from stored fields. Pure.

Intake, traces and the relearning of lost keys all use this one definition, so they cannot disagree.
"""

from collections import Counter
from collections.abc import Callable
from hashlib import blake2b

import msgspec

from headrace.model.event import Event

_BATCH = "\x1f"  # no header can contain it, so no single event's key equals that of an event in a batch


class _CloudEvent(msgspec.Struct):
    source: str = ""


_cloud_event_decoder = msgspec.json.Decoder(_CloudEvent)


def dedup_key(event: Event, /) -> bytes:
    """16 bytes that identify the event within its project, mode and source; b"" if it has no message id."""
    if not event.message_id:
        return b""
    seed = f"{event.project}\0{event.mode}\0{event.source}\0{dedup_text(event)}"
    return blake2b(seed.encode(), digest_size=16).digest()


def dedup_text(event: Event, /) -> str:
    """The text that is unique to the event within its project, mode and source; "" if it has no message id."""
    made_of = _MADE_OF.get(event.source)
    if made_of is None or not event.message_id:
        return event.message_id
    return event.request_id or made_of(event)


def named_by_header(event: Event, header: str, place: str = "", /) -> Event:
    """The event with the key of its request's `Idempotency-Key`, which overrides its own; `place`: its place in the batch.

    Some sources' message ids are more than keys. Such an id stays, and the header goes into the request id, which those
    sources do not use.
    """
    key = f"{header}{_BATCH}{place}" if place else header
    if event.source in _MADE_OF:
        return msgspec.structs.replace(event, request_id=key, message_id=event.message_id or key)
    return msgspec.structs.replace(event, message_id=key)


class Places:
    """Tells the items of a batch apart, the same way at every retry: by their bytes, and equal items by number.

    The index would not do: a client that omits the stored items and resends the rejected ones corrected shifts it. Older
    events, named by their index, keep the keys made of their stored names.
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


# Sources whose message ids are more than keys, and how their keys are made. For all other sources the message id is the key.
_MADE_OF: dict[str, Callable[[Event], str]] = {
    "solute": _by_message_id,
    "segment": _by_message_id,
    "posthog": _by_message_id,
    "amplitude": _by_device,
    "mixpanel": _by_four,
    "cloudevents": _by_origin,
}
