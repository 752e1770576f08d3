"""Admission: checks a request's key, origin and rate limit, and finds the tenant it may act for. Knows no web framework.

Used by everything that admits requests: the HTTP routes, a console, an MCP server, a command. Never logs a key.
"""

import asyncio
import base64
import hmac
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from headrace.assembly.rate_limits import RateLimits, SharedRateLimits
from headrace.model.allowance import Allowance
from headrace.model.errors import Forbidden, InvalidRequest, MissingKey
from headrace.model.event import Tenant
from headrace.model.keys import OPERATORS_KEY, Key, Scope, check_project
from headrace.ports.keys import KeyCheck

# A separate thread, so that no request waits for other work in threads. One is enough, because look-ups take turns anyway.
_LOOK_UPS = ThreadPoolExecutor(1, thread_name_prefix="keys")


class Shown(msgspec.Struct, frozen=True):
    """The credentials that a request shows.

    Never add a cookie: routes that accept events answer pages of any origin, and browsers would send their visitors'
    cookies along. See docs/decisions/0095-admission.md.

    authorization, api_key: the headers Authorization and X-API-Key. in_query: `?api_key=`, used only where events are
    sent. in_body: the key in a body or path, used last. origin: the header Origin, "" if absent. project, mode: the tenant
    that a command on this machine names, "" for the default. user: who runs that command.
    """

    method: str = "POST"
    authorization: str = ""
    api_key: str = ""
    in_query: str = ""
    in_body: str = ""
    origin: str = ""
    project: str = ""
    mode: str = ""
    user: str = ""

    def secret(self, scope: Scope, /) -> str:
        """The secret: Bearer, else X-API-Key, else HTTP Basic's user name, else (to send events) the query, else the body."""
        scheme, _, credentials = self.authorization.partition(" ")
        if scheme.lower() == "bearer" and (token := credentials.strip()):
            return token
        if api_key := self.api_key.strip():
            return api_key
        if scheme.lower() == "basic" and (user := _basic_user(credentials)):
            return user
        return (self.in_query if scope == "ingest" else "") or self.in_body


class Admitted(msgspec.Struct, frozen=True):
    """An admitted request's tenant. `allowance`: what is left of its rate limit; None if there is no limit.

    key: None for a command on this machine, which `user` runs.
    """

    tenant: Tenant
    allowance: Allowance | None = None
    key: Key | None = None
    user: str = ""


class Admission:
    """Admits requests. `admit` is for the event loop's thread. local_token: commands on this machine show it instead of a key."""

    def __init__(self, keys: KeyCheck, limits: RateLimits | SharedRateLimits, local_token: str) -> None:
        self._keys = keys
        self._limits = limits
        self._local_token = local_token.encode()

    async def admit(self, shown: Shown, scope: Scope, limit: str, /) -> Admitted:
        """Find the tenant that the request is bound to, and count it against `limit`.

        Raises MissingKey, InvalidKey, Forbidden, RateLimited (with the allowance), Unavailable, InvalidRequest.
        """
        if scope != "ingest" and self.is_local(shown):
            return Admitted(_tenant_named(shown), user=shown.user)
        secret = shown.secret(scope)
        if not secret:
            raise MissingKey
        key = self._keys.cached(secret) or await asyncio.get_running_loop().run_in_executor(
            _LOOK_UPS, self._keys.check, secret
        )
        if scope not in key.scopes:
            raise Forbidden(f"This key has the scopes {', '.join(sorted(key.scopes))}; this route requires '{scope}'.")
        if key.origins:
            _check_origin(key, shown)
        spent = self._limits.spend(limit, key.id)
        return Admitted(key.tenant, await spent if isinstance(spent, Awaitable) else spent, key)

    def known(self, shown: Shown, /) -> Key | None:
        """The key that a request shows, if it was admitted or looked up just now. Asks nobody, decides nothing."""
        return self._keys.cached(shown.secret("ingest"))

    def is_operator(self, shown: Shown, /) -> bool:
        """Whether a request comes from the server's operator: it shows the key in the server's settings."""
        key = self._keys.cached(shown.secret("query"))
        return key is not None and key.id == OPERATORS_KEY

    def is_local(self, shown: Shown, /) -> bool:
        """Whether the request comes from a command on this machine: it shows the token in the server's data folder."""
        _, _, token = shown.authorization.partition(" ")
        return hmac.compare_digest(token.encode(), self._local_token)


def _check_origin(key: Key, shown: Shown) -> None:
    origin = shown.origin
    # A page's script and image elements send GET without an Origin. What such a key can read is not secret.
    if not key.allows(origin) and (origin or shown.method not in ("GET", "HEAD")):
        what = f"from {origin[:255]!r}" if origin else "without the header Origin, which every browser sends"
        raise Forbidden(f"This key is for pages of {', '.join(key.origins)}; the request came {what}.")


def _tenant_named(shown: Shown) -> Tenant:
    if shown.mode not in ("", "live", "test"):
        raise InvalidRequest("The header Headrace-Mode must be live or test.")
    project = shown.project or "default"
    check_project(project)
    return Tenant(project, shown.mode or "live")


def _basic_user(credentials: str) -> str:
    """Source: https://www.rfc-editor.org/rfc/rfc7617#section-2"""
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode().partition(":")[0]
    except ValueError:  # not base64, not ASCII, or not UTF-8
        return ""
