"""Events in HTML forms and query strings, as JSON or base64 in a field called `data`. Pure.

Pages send forms; pixels, script elements and some SDKs send GETs. A query string is a form without a body.
"""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from headrace.dialects.wire import unmarked
from headrace.model.errors import InvalidRequest, PayloadTooLarge
from headrace.model.times import EARLIEST_MS, LATEST_MS

Fields: TypeAlias = dict[str, str]
Opener: TypeAlias = Callable[[bytes], tuple[Fields, bytes]]
"""Turns a body into its form's fields ({} if it is not a form) and the JSON in it. Raises InvalidRequest, PayloadTooLarge."""

_MAX_FORM_FIELDS = 50
# Unescaping a form takes up to 80 times its size, before authentication. SDKs use forms for a page's last events.
_MAX_FORM_BYTES = 1024 * 1024
_MAX_QUERY_FIELDS = 200


def opened(body: bytes, /) -> tuple[Fields, bytes]:
    """The fields of a body that is a form ({} if it is not) and the JSON in it; else the body itself. Both as they were sent.

    Raises InvalidRequest, PayloadTooLarge.
    """
    body = unmarked(body)
    form = _form_of(body)
    return form, _data_of(form, "form's field") if form else body


def opened_query(query: bytes, /) -> tuple[Fields, bytes]:
    """A query string's fields, and the JSON in its `data`. Raises InvalidRequest."""
    fields = fields_of(query)
    return fields, _data_of(fields, "query parameter")


def fields_of(query: bytes, /) -> Fields:
    """A query string's fields, the last of each name, without empty ones. Raises InvalidRequest."""
    try:
        return dict(parse_qsl(query.decode(), errors="strict", max_num_fields=_MAX_QUERY_FIELDS))
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8.") from None
    except ValueError:
        raise InvalidRequest(f"The query string has more than {_MAX_QUERY_FIELDS} parameters.") from None


def sent_at_in(query: str, /) -> int | None:
    """The time of sending in milliseconds, which browser SDKs send as `_` in the query. An invalid one is ignored.

    Source: https://github.com/PostHog/posthog-js/blob/main/packages/browser/src/request.ts, and mixpanel-browser's _send_request.
    """
    if "_=" not in query:
        return None
    try:
        text = fields_of(query.encode()).get("_", "")
    except InvalidRequest:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        return None
    milliseconds = int(text)
    return milliseconds if EARLIEST_MS < milliseconds <= LATEST_MS else None


def _form_of(body: bytes, /) -> Fields:
    """The fields of a body that is an HTML form, the last of each name; {} if it is JSON.

    Raises InvalidRequest, PayloadTooLarge.
    """
    if body.lstrip()[:1] in (b"{", b"["):
        return {}
    if len(body) > _MAX_FORM_BYTES:
        raise PayloadTooLarge(f"The form has {len(body)} bytes; the limit is {_MAX_FORM_BYTES}. Send JSON instead.")
    try:
        text = body.decode("ascii")
        fields = parse_qsl(
            text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_FORM_FIELDS
        )
    except ValueError:
        raise InvalidRequest("The body is neither JSON nor a form with JSON in its field 'data'.") from None
    return dict(fields)


def _data_of(fields: Mapping[str, str], where: str) -> bytes:
    """The JSON in `data`, as it is or in base64. Raises InvalidRequest."""
    data = fields.get("data", "").strip()
    if not data:
        raise InvalidRequest(f"The {where} 'data' is required: send JSON, or JSON in base64.")
    if data[0] in "{[":
        return data.encode()
    try:
        # An unescaped "+" arrives as a blank. Some clients omit the padding.
        digits = data.replace(" ", "+").replace("-", "+").replace("_", "/").rstrip("=")
        return b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest(f"The {where} 'data' is neither JSON nor base64.") from None
