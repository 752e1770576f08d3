"""API keys as the rest of the program sees them: scopes, styles, origins. Never a secret, and no I/O."""

import re
from collections.abc import Set as AbstractSet
from typing import Literal, get_args

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant

Scope = Literal["ingest", "query", "admin"]


Style = Literal["flux", "bricqs", "solute", "admin", "publishable"]


SCOPES: tuple[Scope, ...] = get_args(Scope)


# What a key of each style looks like, so that it fits the SDKs made for that API: (live prefix, test prefix, the
# scopes it has unless told otherwise). Any key works with any dialect.
STYLES: dict[Style, tuple[str, str, frozenset[Scope]]] = {
    "flux": ("sk_live_", "sk_test_", frozenset({"ingest", "query"})),
    "bricqs": ("bq_live_", "bq_test_", frozenset({"ingest"})),
    "solute": ("sol_live_", "sol_test_", frozenset({"ingest"})),
    "admin": ("adm_live_", "adm_test_", frozenset(SCOPES)),
    "publishable": ("pk_live_", "pk_test_", frozenset({"ingest"})),
}


_MAX_ORIGINS = 50


# As browsers write it (https://www.rfc-editor.org/rfc/rfc6454#section-6.2), or `*.` for any host below a domain.
_ORIGIN = re.compile(r"(https?)://((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


_USUAL_PORTS = {"http": ":80", "https": ":443"}


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a secret opens, and until when. `origins`: the web pages that may use it; () asks nobody where they come from."""

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
        """Whether a page of this origin may use the key; "" is a request that names none, which no page sends.

        So a key with origins is refused without one: what leaves it out is no browser, and has no reason to use it.
        """
        if not self.origins:
            return True
        sent = _ORIGIN.fullmatch(origin.lower())
        if sent is None or "*" in sent[2]:
            return False
        return _written(sent) in self.origins or any(_is_below(sent, allowed) for allowed in self.origins)

    def works_at(self, now_ms: int, /) -> bool:
        """Neither revoked nor expired."""
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
    """As browsers write it: without the port that its scheme usually has."""
    scheme, host, port = origin.groups()
    return f"{scheme}://{host}{'' if port in (None, _USUAL_PORTS[scheme]) else port}"


def _is_below(sent: re.Match[str], allowed: str) -> bool:
    """Whether an origin is one of those that `https://*.app.example` names: same scheme, same port, a host below it."""
    found = _ORIGIN.fullmatch(allowed)
    if found is None or not found[2].startswith("*."):
        return False
    domain = found[2][1:]
    return sent[2].endswith(domain) and _written(sent) == allowed.replace(found[2], sent[2], 1)


def render_scopes(scopes: AbstractSet[Scope], /) -> str:
    return ",".join(scope for scope in SCOPES if scope in scopes)
