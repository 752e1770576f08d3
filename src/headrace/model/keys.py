"""API keys as the rest of the program sees them: scopes, styles, origins. Holds no secret. No I/O."""

import re
from collections.abc import Set as AbstractSet
from typing import Literal, get_args

import msgspec

from headrace.model.errors import Forbidden, InvalidRequest
from headrace.model.event import Tenant
from headrace.model.times import render_time_short

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


MAX_NAME_CHARS = 100
SHOWN_CHARS = 6  # of the 43 random ones, in a key's prefix; 220 bits stay unknown
_MAX_ORIGINS = 50


# As browsers write it (https://www.rfc-editor.org/rfc/rfc6454#section-6.2), or `*.` for any host below a domain.
_ORIGIN = re.compile(r"(https?)://((?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)


_USUAL_PORTS = {"http": ":80", "https": ":443"}


_SECRET = re.compile(
    rf"((?:{'|'.join(start for live, test, _ in STYLES.values() for start in (live, test))}|whsec_)"
    rf"[\w+-]{{{SHOWN_CHARS}}})[\w+=-]+",
    re.ASCII,
)


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key without its secret. `origins`: the web pages that may use it; () means any client may.

    last_used_at_ms: to within a minute or so; None if it never was. replaced_by: the id of the key that rotation made in its
    place, "" if it was not rotated.
    """

    id: str
    tenant: Tenant
    style: Style
    scopes: frozenset[Scope]
    prefix: str
    created_at_ms: int
    expires_at_ms: int | None = None
    revoked_at_ms: int | None = None
    origins: tuple[str, ...] = ()
    name: str = ""
    last_used_at_ms: int | None = None
    replaced_by: str = ""

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


class KeyUse(msgspec.Struct, frozen=True):
    """Requests that one key has made alike, within the ten minutes that begin at `from_ms`.

    kind: the kind of request, as rate limits name it. route: method and path, with placeholders in place of what clients choose.
    client: what the User-Agent begins with. last_ms: when the last of them was counted, to within a minute.
    """

    key_id: str
    from_ms: int
    kind: str
    route: str
    client: str
    requests: int
    last_ms: int


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key to be made. scopes: None means those of the style. expires_at_ms: None means as long as its maker may give."""

    style: Style
    scopes: frozenset[Scope] | None
    expires_at_ms: int | None
    origins: tuple[str, ...]
    name: str


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


_PROJECT = re.compile(r"[a-z0-9_-]{1,100}", re.ASCII)


def check_project(name: str, /) -> None:
    """Raises InvalidRequest for what cannot be the name of a project: no key could ever open it."""
    if not _PROJECT.fullmatch(name):
        raise InvalidRequest(
            "A project's name is 1 to 100 characters, each a lower-case letter a to z, a digit, '_' or '-'."
        )


def check_name(name: str, /) -> str:
    """A key's name as it is kept. Raises InvalidRequest."""
    name = name.strip()
    if len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise InvalidRequest(f"A key's name has at most {MAX_NAME_CHARS} characters, and no control characters.")
    return name


def check_may_make(maker: Key, scopes: AbstractSet[Scope], expires_at_ms: int | None, /) -> None:
    """Raises Forbidden for a key that may do more than the key that makes it, or that works for longer."""
    if more := [scope for scope in SCOPES if scope in scopes and scope not in maker.scopes]:
        raise Forbidden(f"A key can only grant scopes that it has; this one lacks {', '.join(more)}.")
    if maker.expires_at_ms is not None and (expires_at_ms is None or expires_at_ms > maker.expires_at_ms):
        until = render_time_short(maker.expires_at_ms)
        raise Forbidden(f"This key expires at {until}; a key that it makes or renews must expire by then.")


def masked(text: str, /) -> str:
    """The text with everything that looks like a key, or a webhook's secret, cut to its first characters."""
    return _SECRET.sub(r"\1…", text)


def render_scopes(scopes: AbstractSet[Scope], /) -> str:
    return ",".join(scope for scope in SCOPES if scope in scopes)
