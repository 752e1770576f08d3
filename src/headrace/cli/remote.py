"""A server that a command reaches by its URL, with the key in HEADRACE_KEY. Never opens data, and never follows a redirect."""

import os
import sys
import urllib.error
import urllib.request
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from cyclopts import Parameter

from headrace.mcp.client import NoRedirect, notice_of, reason_of
from headrace.model.errors import InvalidRequest, SettingsError, Unavailable

Url = Annotated[
    str, Parameter(help="Ask the server or gateway at this URL, with the key in HEADRACE_KEY; uses no data folder.")
]
_TIMEOUT_S = 600
_MAX_REASON_BYTES = 10_000


class Remote(msgspec.Struct, frozen=True):
    """url: without a slash at its end."""

    url: str
    key: str

    def opened(self, method: str, path: str, body: object = None, /) -> HTTPResponse:
        """The response, to be closed.

        Raises SettingsError for a key that it does not accept, InvalidRequest or Unavailable with its message, and Unavailable if
        it does not answer.
        """
        request = urllib.request.Request(  # noqa: S310  checked by `base_of`
            self.url + path,
            method=method,
            data=body if body is None or isinstance(body, bytes) else msgspec.json.encode(body),
            headers={
                "Authorization": f"Bearer {self.key}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        try:
            response: HTTPResponse = urllib.request.build_opener(NoRedirect).open(request, timeout=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            with error:
                warn_if_stale(error.headers)
                raise self._refusal(error.code, error.read(_MAX_REASON_BYTES)) from None
        except (OSError, HTTPException) as error:
            reason = error.reason if isinstance(error, urllib.error.URLError) else error
            raise Unavailable(f"The server at {self.url} did not answer: {reason}.") from None
        warn_if_stale(response.headers)
        return response

    def _refusal(self, code: int, body: bytes) -> Exception:
        reason = reason_of(body) or f"status {code}"
        if code == 401:
            return SettingsError(f"The server at {self.url} does not accept the key in HEADRACE_KEY: {reason}")
        if 300 <= code < 400:
            return InvalidRequest(f"The server at {self.url} redirects elsewhere: give --url the address that answers.")
        return (Unavailable if code >= 500 or code == 429 else InvalidRequest)(reason)


def warn_if_stale(headers: Message, /) -> None:
    """Say on stderr that an answer is stale, if it is."""
    if notice := notice_of(headers):
        print(f"headrace: {notice}", file=sys.stderr)


def broken_off(error: Exception, /) -> Unavailable:
    return Unavailable(
        f"The server ended before it had answered ({error or type(error).__name__}). Try again once it runs."
    )


def remote_at(url: str, /) -> Remote:
    """Raises SettingsError."""
    base = base_of(url)
    # Never an option: every user of the machine could see it there.
    key = checked(os.environ.get("HEADRACE_KEY", "").strip())
    if not key:
        raise SettingsError("HEADRACE_KEY is not set: with --url, it is the key that the server is asked with.")
    return Remote(base, key)


def checked(key: str, /) -> str:
    """Raises SettingsError."""
    if not (key.isascii() and key.isprintable()):
        raise SettingsError("HEADRACE_KEY has characters that are in no key.")
    return key


def base_of(url: str, /) -> str:
    """The address without its path's last slash. Raises SettingsError unless it is of HTTP."""
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and parts.netloc and parts.port != 0
    except ValueError:
        is_address = parts = None
    if parts is not None and "@" in parts.netloc:
        raise SettingsError("--url must not hold a name or a password: the key is in HEADRACE_KEY.")
    if parts is None or not is_address or parts.query or parts.fragment:
        raise SettingsError(f"--url must be an address such as http://127.0.0.1:8080; it is {url[:80]!r}.")
    return url.rstrip("/")
