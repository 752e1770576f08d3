"""API keys as the rest of the program sees them: scopes, styles, origins. Holds no secret. No I/O."""

import re
from collections.abc import Set as AbstractSet
from typing import Literal, get_args

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant

Scope = Literal["ingest", "query", "admin"]


Style = Literal["flux", "bricqs", "solute", "admin", "publishable"]


SCOPES: tuple[Scope, ...] = get_args(Scope)


# The look of each style's keys, as the SDKs for that API expect it: (live prefix, test prefix, default scopes).
# Any key works with any dialect.
STYLES: dict[Style, tuple[str, str, frozenset[Scope]]] = {
    "flux": ("sk_live_", "sk_test_", frozenset({"ingest", "query"})),
    "bricqs": ("bq_live_", "bq_test_", frozenset({"ingest"})),
    "solute": ("sol_live_", "sol_test_", frozenset({"ingest"})),
    "admin": ("adm_live_", "adm_test_", frozenset(SCOPES)),
    "publishable": ("pk_live_", "pk_test_", frozenset({"ingest"})),
}


OPERATORS_KEY = "env"  # the id of the key that the server's settings give


_MAX_ORIGINS = 50


# As browsers write it (https://www.rfc-editor.org/rfc/rfc6454#section-6.2), or `*.` for any host below a domain.
_ORIGIN = re.compile(r"(https?)://((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


_USUAL_PORTS = {"http": ":80", "https": ":443"}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret. `origins`: the web pages that may use it; () means any client may."""

    id: str
    tenant: Tenant
    style: Style
    scopes: frozenset[Scope]
    prefix: str
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    origins: tuple[str, ...] = ()

    def allows(self, origin: str, /) -> bool:
        """Whether a page of this origin may use the key. "" is a request without an origin, which no web page sends.

        A key restricted to origins is refused without one: only clients other than browsers omit it, and they need no such key.
        """
        if not self.origins:
            return True
        sent = _ORIGIN.fullmatch(origin.lower())
        if sent is None or "*" in sent[2]:
            return False
        return _written(sent) in self.origins or any(_is_below(sent, allowed) for allowed in self.origins)

    def works_at(self, now_ms: int, /) -> bool:
        """Whether the key is neither revoked nor expired at this time."""
        return self.revoked_at_ms is None and (self.expires_at_ms is None or now_ms < self.expires_at_ms)


def parse_scopes(text: str, /) -> frozenset[Scope]:
    """`ingest,query` as a set. Raises InvalidRequest."""
    known: dict[str, Scope] = {scope: scope for scope in SCOPES}
    try:
        return frozenset(known[part.strip()] for part in text.split(","))
    except KeyError as unknown:
        raise InvalidRequest(
            f"{unknown} is not a scope: give one or more of {','.join(SCOPES)}, separated by commas."
        ) from None


def parse_origins(text: str, /) -> tuple[str, ...]:
    """`https://app.example,https://*.example.org` as browsers write origins. Raises InvalidRequest."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise InvalidRequest("No origins given: list one or more such as https://app.example, separated by commas.")
    if len(parts) > _MAX_ORIGINS:
        raise InvalidRequest(f"A key can have at most {_MAX_ORIGINS} origins; {len(parts)} were given.")
    origins: list[str] = []
    for part in parts:
        found = _ORIGIN.fullmatch(part.lower().removesuffix("/"))
        if found is None or len(part) > 255:
            raise InvalidRequest(
                f"{part[:80]!r} is not an origin: write a scheme, a host and, if need be, a port, "
                "such as https://app.example or https://*.app.example."
            )
        origins.append(_written(found))
    return tuple(dict.fromkeys(origins))


def _written(origin: re.Match[str]) -> str:
    """An origin as browsers write it: without the scheme's default port."""
    scheme, host, port = origin.groups()
    return f"{scheme}://{host}{'' if port in (None, _USUAL_PORTS[scheme]) else port}"


def _is_below(sent: re.Match[str], allowed: str) -> bool:
    """Whether an origin matches a pattern like `https://*.app.example`: same scheme, same port, a host below it."""
    found = _ORIGIN.fullmatch(allowed)
    if found is None or not found[2].startswith("*."):
        return False
    domain = found[2][1:]
    return sent[2].endswith(domain) and _written(sent) == allowed.replace(found[2], sent[2], 1)


def render_scopes(scopes: AbstractSet[Scope], /) -> str:
    return ",".join(scope for scope in SCOPES if scope in scopes)
