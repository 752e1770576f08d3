"""The fence around the console's cookie: which requests may use it at all. Admits nobody; knows no session.

The cookie is confined to /console, and nothing below it answers pages of other origins. SameSite is not enough: it ignores ports,
so a page on another port of the same host sends a Strict cookie along. Browsers say where a request comes from in
Sec-Fetch-Site, which no page can set. See docs/decisions/0143-a-fence-around-the-cookie.md.
Source: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
"""

from ipaddress import ip_address
from typing import NamedTuple

import falcon.asgi

from headrace.http.addresses import Addresses
from headrace.http.console_paths import ROOT
from headrace.model.console import LONGEST_MS
from headrace.model.errors import Forbidden
from headrace.model.settings import Settings

HEADER = "X-Headrace-Console"
_SAFE = ("GET", "HEAD")


class Visitor(NamedTuple):
    """Where a request comes from. `address`: the client's. `is_secure`: whether a cookie may be marked as Secure."""

    address: str
    is_secure: bool


class Fence:
    def __init__(self, settings: Settings, addresses: Addresses) -> None:
        self._addresses = addresses
        self._plain_anywhere = settings.console_plain_http == "anywhere"

    def check(self, req: falcon.asgi.Request, /) -> Visitor:
        """Raises Forbidden unless the console's own page has sent it, over a connection that the cookie may cross."""
        scheme, host = self._addresses.asked(req)
        visitor = Visitor(self._addresses.client_of(req), scheme == "https")
        self._check_origin(req, f"{scheme}://{host}")
        if req.method not in _SAFE:
            _check_content(req)
        if not visitor.is_secure and not self._plain_anywhere and not _is_here(visitor.address, host):
            raise Forbidden(
                "The console does not work over plain HTTP from another machine, because anyone in between could read the "
                "session. Put a proxy with TLS in front and set HEADRACE_TRUSTED_PROXIES, or use an SSH tunnel; "
                "HEADRACE_CONSOLE_PLAIN_HTTP=anywhere allows it anyway."
            )
        return visitor

    def _check_origin(self, req: falcon.asgi.Request, own: str) -> None:
        site, origin = req.get_header("Sec-Fetch-Site"), req.get_header("Origin")
        if site is not None:
            is_own = site == "same-origin"
        elif origin is not None:
            is_own = origin == own
        else:
            # A browser says neither in a GET over plain HTTP from elsewhere, which the setting then has to allow. A page of
            # another origin cannot set this header: its browser would ask first, and nothing here answers.
            is_own = self._plain_anywhere and own.startswith("http:") and req.get_header(HEADER) == "1"
        if not is_own:
            raise Forbidden(
                "Only the console's own page may call this: Sec-Fetch-Site or Origin names another, or none."
            )


def _check_content(req: falcon.asgi.Request) -> None:
    kind = (req.get_header("Content-Type") or "").partition(";")[0].strip().lower()
    if kind != "application/json" or req.get_header(HEADER) != "1":
        raise Forbidden(f"Changes from the console must be sent with Content-Type: application/json and {HEADER}: 1.")


def _is_here(address: str, host: str) -> bool:
    """Whether a request came from this machine, and to it: a proxy on this machine passes on the host that it was asked for."""
    name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
    return _is_loopback(address) and (name.lower() == "localhost" or _is_loopback(name.strip("[]")))


def _is_loopback(text: str) -> bool:
    try:
        found = ip_address(text)
    except ValueError:
        return False
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def token_of(req: falcon.asgi.Request, name: str, /) -> str:
    """The token in the cookie of that name; "" for none. Two of them mean that something else on this host planted one."""
    found = req.get_cookie_values(name) or []
    return found[0] if len(found) == 1 else ""


def set_cookie(resp: falcon.asgi.Response, name: str, token: str, visitor: Visitor, /) -> None:
    """Set it for the console alone; an empty token removes it.

    Source: https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html
    """
    seconds = LONGEST_MS // 1000 if token else 0
    parts = [f"{name}={token}", f"Path={ROOT}", f"Max-Age={seconds}", "HttpOnly", "SameSite=Strict"]
    # Safari drops a Secure cookie of plain HTTP, from loopback too.
    resp.append_header("Set-Cookie", "; ".join([*parts, "Secure"] if visitor.is_secure else parts))
