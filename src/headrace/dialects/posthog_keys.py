"""Where PostHog's clients put the project's key: beside a batch, in its events, or in a form's field. Finds; never checks.

Source: https://posthog.com/docs/api/capture
"""

from collections.abc import Sequence

import msgspec

from headrace.dialects.forms import Opener, fields_of, opened, opened_query
from headrace.dialects.sdk import MAX_BATCH, elements_of, first_text, key_of, readable, short_text
from headrace.dialects.wire import ABSENT, confined, decode_part

_NO_KEY = "No project API key: send it as 'api_key' or 'token' in the body."


class _Keyed(msgspec.Struct):
    """The places where a key may be."""

    api_key: msgspec.Raw = ABSENT
    token: msgspec.Raw = ABSENT
    properties: msgspec.Raw = ABSENT
    batch: msgspec.Raw = ABSENT


_keyed_decoder = msgspec.json.Decoder(_Keyed)


def find_key(body: bytes, /) -> str:
    """The key: in a form's field, beside the batch, or in the events. Raises MissingKey, InvalidRequest."""
    return _find_key(body, opened)


def find_key_in_query(query: bytes, /) -> str:
    """The key of an event sent by GET. Raises MissingKey, InvalidRequest."""
    return _find_key(query, opened_query) if "data" in fields_of(query) else key_of([], _NO_KEY)


def _find_key(body: bytes, opener: Opener) -> str:
    form, text = opener(body)
    keys = confined(text, _keys_in, "batch")
    in_form = first_text(form.get("api_key"), form.get("token"))
    return key_of([in_form] if in_form else keys, _NO_KEY)


def _keys_in(text: bytes) -> list[str]:
    if text.lstrip()[:1] == b"[":
        return _keys_of(elements_of(text, "The body", MAX_BATCH))
    keyed = decode_part(_keyed_decoder, text, "The body")
    keys = [_key_in(keyed)]
    if keyed.batch is not ABSENT and not any(keys):
        return _keys_of(elements_of(keyed.batch, "batch", MAX_BATCH))
    return keys


def _keys_of(events: Sequence[msgspec.Raw]) -> list[str]:
    return [_key_in(keyed) for keyed in readable(_keyed_decoder, events)]


def _key_in(keyed: _Keyed) -> str:
    """The key in an object, or in its properties."""
    inner = next(readable(_keyed_decoder, [keyed.properties]), keyed)
    return first_text(*map(short_text, (keyed.api_key, keyed.token, inner.api_key, inner.token)))
