"""What clients of a running server share: no redirects, the message in an error, and what a stale answer is told to be."""

import urllib.request
from email.message import Message
from typing import Any

import msgspec


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows none, which would carry the key elsewhere."""

    def http_error_302(self, *_arguments: Any, **_named: Any) -> None:
        """Leave it as the error that it is."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def notice_of(headers: Message, /) -> str:
    """What whoever reads a stale answer, or an error, has to know; "" for one that is not stale."""
    if "Headrace-Stale" not in headers:
        return ""
    until = headers.get("Headrace-Complete-Until")
    return (
        "This answer is stale: the server's log could not be asked, so the last acknowledged events may be missing."
        f"{f' Events received before {until} are in it.' if until else ''}"
    )


def reason_of(body: bytes, /) -> str:
    """The message in an error of any of the server's dialects."""
    try:
        found = msgspec.json.decode(body, type=_Refusal)
    except msgspec.DecodeError:
        return body.decode(errors="replace")[:500]
    return found.detail or (found.error if isinstance(found.error, str) else found.error.message)


class _Message(msgspec.Struct):
    message: str = ""


class _Refusal(msgspec.Struct):
    detail: str = ""
    error: str | _Message = ""
