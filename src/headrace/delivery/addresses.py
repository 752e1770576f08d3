"""The URLs and addresses that deliveries may go to. Pure; resolves nothing.

Clients choose webhooks' URLs, but the requests come from inside the operator's network. So only addresses of the public internet
are allowed, unless a setting names others.
Source: https://www.iana.org/assignments/iana-ipv4-special-registry, …/iana-ipv6-special-registry
"""

import ipaddress
from collections.abc import Sequence
from typing import TypeAlias
from urllib.parse import SplitResult, urlsplit

import msgspec

from headrace.model.errors import InvalidRequest, SettingsError

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

MAX_URL_CHARS = 2000
_PORTS = {"http": 80, "https": 443}
# Not `is_global`, whose answers differ between versions of Python.
_REFUSED_V4: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this host"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared by a carrier, and metadata of some clouds"),
    ("127.0.0.0/8", "loopback"),
    ("168.63.129.16/32", "Azure's host"),  # a public address by which virtual machines there reach their host
    ("169.254.0.0/16", "link-local, and metadata of most clouds"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved for protocols"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "a relay of 6to4"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarks"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved or broadcast"),
)
_REFUSED_V6: tuple[tuple[str, str], ...] = (
    ("::ffff:0:0/96", "an IPv4 address in disguise"),
    ("::/96", "this host, loopback, or an IPv4 address in disguise"),
    ("2001::/23", "reserved for protocols, Teredo among them"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "an IPv4 address in disguise (6to4)"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "private, and metadata of some clouds"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
)
_TABLE = [(ipaddress.ip_network(network), what) for network, what in (*_REFUSED_V4, *_REFUSED_V6)]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address in its last 32 bits (RFC 6052), for hosts without IPv4
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")  # everything that IANA has assigned for unicast


class Target(msgspec.Struct, frozen=True):
    """The target of a URL. `host`: as in the URL, without brackets. `path`: the request target, with the query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def is_secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The Host header (RFC 9110 §7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


def parse_networks(text: str, /) -> tuple[Network, ...]:
    """Parse comma-separated ranges or addresses that are allowed despite the table. Raises SettingsError."""
    try:
        return tuple(ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise SettingsError(
            f"HEADRACE_WEBHOOK_ALLOWED_NETWORKS: {error}; write ranges such as 10.1.0.0/16,fd00:1::/32."
        ) from None


def parse_url(url: str, allowed: Sequence[Network], /) -> Target:
    """Raises InvalidRequest for a URL that no delivery may go to, as far as can be decided without resolving its host."""
    if len(url) > MAX_URL_CHARS:
        raise InvalidRequest(f"'url' has {len(url)} characters; at most {MAX_URL_CHARS} are allowed.")
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        raise InvalidRequest(
            "'url' must be ASCII without blanks: percent-encode its path, and give its host in punycode."
        )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidRequest(f"'url' is not a valid URL: {error}.") from None
    _check(parts)
    host = parts.hostname or ""
    if not host or port == 0:
        raise InvalidRequest("'url' must name a host, and a port from 1 to 65535 if it names one.")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is not None and (why := refusal(address, allowed)):
        raise InvalidRequest(f"'url' leads to {host}, which is not allowed: {why}.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or _PORTS[parts.scheme], path)


def _check(parts: SplitResult) -> None:
    if parts.scheme not in _PORTS:
        raise InvalidRequest("'url' must begin with https:// or http://.")
    if parts.username is not None or parts.password is not None:
        raise InvalidRequest("'url' must not carry a user name or a password: the signature shows who sent it.")
    if parts.fragment:
        raise InvalidRequest("'url' must not have a fragment ('#…'): it would not be sent.")


def refusal(address: Address, allowed: Sequence[Network], /) -> str:
    """Why nothing may be sent to an address; "" if it may."""
    if any(address in network for network in allowed):
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return "it is of one network interface"
        if address in _NAT64:
            return refusal(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF), allowed)
    for network, what in _TABLE:
        if address in network:
            return f"it is in {network} ({what})"
    if isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6:
        return f"it is not in {_PUBLIC_V6}, where public addresses are"
    return ""
