"""The address under which clients reach this server, and the clients' own. Checks every header before using it."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import falcon.asgi

from headrace.model.errors import InvalidRequest, SettingsError
from headrace.model.settings import Settings
from headrace.model.written import PREFIX

_HOST = re.compile(
    r"(?:[a-z0-9](?:[a-z0-9._-]{0,252})|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?", re.ASCII | re.IGNORECASE
)


class Addresses:
    """Finds the address for each request. Raises SettingsError for an invalid `public_url` or `trusted_proxies`."""

    def __init__(self, settings: Settings) -> None:
        self._public = _parse_url(settings.public_url)
        self._proxies = _parse_networks(settings.trusted_proxies)

    def of(self, req: falcon.asgi.Request, /) -> tuple[str, str]:
        """The scheme, and the host with its port (and the public URL's path, if it has one).

        Without a public URL, the address comes from the Host header or from a trusted proxy; behind several proxies, it is the
        one that the first was asked for. Raises InvalidRequest for an invalid Host.
        """
        return self._public or self.asked(req)

    def asked(self, req: falcon.asgi.Request, /) -> tuple[str, str]:
        """As `of`, of this very request, whatever the public URL is. Raises InvalidRequest for an invalid Host."""
        scheme, host = req.scheme, req.get_header("Host") or req.netloc
        if not _is_host(host):
            raise InvalidRequest("The Host header is not a valid host name with an optional port.")
        if self._is_proxy(req.remote_addr):
            told_scheme, told_host = _told_by_proxy(req)
            scheme = told_scheme if told_scheme in ("http", "https") else scheme
            host = told_host if _is_host(told_host) else host
        return scheme, host

    def client_of(self, req: falcon.asgi.Request, /) -> str:
        """The address that the request came from; behind trusted proxies the last one that is not theirs.

        What stands before that one, its sender may have made up. "" for the peer of a Unix socket.
        """
        peer = req.remote_addr
        if not self._is_proxy(peer):
            return _address(peer)
        for told in reversed(_told_clients(req)):
            if not _address(told):
                break
            peer = _address(told)
            if not self._is_proxy(peer):
                break
        return _address(peer)

    def _is_proxy(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:  # the peer of a Unix socket has no address
            return False
        parsed = getattr(parsed, "ipv4_mapped", None) or parsed
        return any(parsed in network for network in self._proxies)


def _told_by_proxy(req: falcon.asgi.Request) -> tuple[str, str]:
    """Source: https://www.rfc-editor.org/rfc/rfc7239#section-4, and the X-Forwarded-… headers that proxies sent before it."""
    if forwarded := req.forwarded:
        first = forwarded[0]
        return (first.scheme or "").lower(), first.host or ""
    scheme, host = (req.get_header(f"X-Forwarded-{name}") or "" for name in ("Proto", "Host"))
    return scheme.partition(",")[0].strip().lower(), host.partition(",")[0].strip()


def _told_clients(req: falcon.asgi.Request) -> list[str]:
    """Whom each proxy says it was asked by, the first proxy first."""
    if forwarded := req.forwarded:
        return [each.src or "" for each in forwarded]
    return (req.get_header("X-Forwarded-For") or "").split(",")


def _address(text: str) -> str:
    """An IP address as it is usually written, without a port; "" for anything else."""
    text = text.strip().strip('"')
    bare = text[1:].partition("]")[0] if text.startswith("[") else text
    if bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ip_address(bare)
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def _is_host(text: str) -> bool:
    found = _HOST.fullmatch(text)
    return found is not None and int(found[1] or 0) <= 65535


def _parse_url(text: str) -> tuple[str, str] | None:
    if not text:
        return None
    try:
        scheme, netloc, path, query, fragment = urlsplit(text)
    except ValueError:
        scheme = netloc = path = query = fragment = ""
    if scheme not in ("http", "https") or not _is_host(netloc) or query or fragment or re.search(r"\s", path):
        raise SettingsError(
            f"{PREFIX}PUBLIC_URL: expected a URL such as https://events.example.com, not {text[:200]!r}."
        )
    return scheme, netloc + path.rstrip("/")


def _parse_networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise SettingsError(f"{PREFIX}TRUSTED_PROXIES: {error}.") from None
