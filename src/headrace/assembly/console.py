"""Who may use the console: opens, finds and ends its sessions, and admits requests by them. Knows no web framework, no cookie.

A session is known by its token, which only the browser has. Logging in always makes a new token, also where a session gets
another key: a token that somebody planted in a browser must not become one that opens more.
"""

import asyncio
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import msgspec
import structlog

from headrace.assembly.admission import Admitted
from headrace.assembly.rate_limits import RateLimits
from headrace.control.api_keys import digest
from headrace.model.console import Session
from headrace.model.errors import Forbidden, InvalidKey, InvalidRequest, NoSession, NotFound, Unauthorized, Unavailable
from headrace.model.event import MODES, Tenant
from headrace.model.keys import OPERATORS_KEY, SCOPES, Key, Scope, check_project
from headrace.ports.console import Instance, Sessions
from headrace.ports.control import ControlFailed
from headrace.ports.keys import KeyCheck

_log = structlog.get_logger("headrace.console")
_CODE_S = 60.0
_MOST_CODES = 20
_FRESH_FOR_MS = 500
_MOST_CACHED = 1000
_TOUCH_EVERY_MS = 60_000
_MOST_KEYS = 20
_ATTEMPTS = "console_attempts"
_LIMIT = "console"
Answer = TypeVar("Answer")


OPERATOR = "console"
"""Who an operator's session is, where a command's user would stand."""


class Opened(msgspec.Struct, frozen=True):
    """A project and mode that a session opens. `key`: what is shown of the key, "" for none."""

    tenant: Tenant
    scopes: frozenset[Scope]
    key: str


class SessionStore(Sessions, Instance, Protocol):
    """What the console keeps."""


class ConsoleAdmission:
    """For the event loop's thread. `new_code` and `now_ms` may be called from any."""

    def __init__(
        self,
        store: SessionStore,
        keys: KeyCheck,
        limits: RateLimits,
        *,
        admin_key: str,
        attempts: int,
        clock_ms: Callable[[], int],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """attempts: how often an address may try to log in, a minute."""
        self._store = store
        self._keys = keys
        self._limits = limits
        self._attempts = RateLimits({_ATTEMPTS: attempts}, monotonic_s=monotonic_s)
        self._admin_digest = digest(admin_key) if admin_key else b""
        self._clock_ms = clock_ms
        self._monotonic_s = monotonic_s
        self._codes: dict[str, float] = {}  # hashes of codes, and when they expire
        self._seen: dict[str, tuple[Session, int]] = {}  # by the token's hash
        self._server_id = ""

    async def server_id(self) -> str:
        """What tells this server's cookies from those of others on the same host. Raises Unavailable."""
        if not self._server_id:
            self._server_id = await self._ask(self._store.server_id)
        return self._server_id

    def new_code(self) -> str:
        """A code that opens an operator's session, once, within a minute."""
        now_s = self._monotonic_s()
        self._codes = {code: until for code, until in self._codes.items() if until > now_s}
        while len(self._codes) >= _MOST_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(32)
        self._codes[_hash(code)] = now_s + _CODE_S
        return code

    async def log_in_by_key(self, secret: str, token: str, address: str, /) -> tuple[Session, str]:
        """A new session that holds the key, and those of the session that `token` names; and its token.

        Raises RateLimited, InvalidKey, Forbidden for a key without the scope `query`, Unavailable.
        """
        self._limit_attempts(address)
        try:
            key = await self._ask(lambda: self._keys.check(secret))
        except InvalidKey:
            _log.warning("console_login_refused", address=address)
            raise
        if "query" not in key.scopes:
            raise Forbidden(
                f"This key has the scopes {', '.join(sorted(key.scopes))}; the console requires 'query'. "
                "Make a key that has it with: headrace keys create --scopes query"
            )
        before = await self._found(token)
        held = [each for each in (before.keys if before else ()) if each.id != key.id]
        keys = (key, *held)[:_MOST_KEYS]
        return await self._open(keys, before, address, is_operator=before is not None and before.is_operator)

    async def log_in_by_code(self, code: str, token: str, address: str, /) -> tuple[Session, str]:
        """A new operator's session, and its token. Raises RateLimited, InvalidKey, Unavailable."""
        self._limit_attempts(address)
        until = self._codes.pop(_hash(code), 0.0)
        if until <= self._monotonic_s():
            _log.warning("console_login_refused", address=address)
            raise InvalidKey("This link was used already, or is more than a minute old: run `headrace console` again.")
        before = await self._found(token)
        return await self._open(before.keys if before else (), before, address, is_operator=True)

    async def _open(
        self, keys: tuple[Key, ...], before: Session | None, address: str, *, is_operator: bool
    ) -> tuple[Session, str]:
        token, now_ms = secrets.token_urlsafe(32), self._clock_ms()
        session = Session(
            id=f"ses_{secrets.token_hex(8)}",
            is_operator=is_operator,
            keys=keys,
            address=address[:64],
            created_at_ms=now_ms,
            used_at_ms=now_ms,
        )
        proof = self._proof(token) if any(each.id == OPERATORS_KEY for each in keys) else ""
        replaced = before.id if before else ""
        await self._ask(lambda: self._store.open(session, _hash(token), proof, replaced))
        self._drop(replaced)
        held = [each.id for each in keys]
        _log.info("console_login", session=session.id, keys=held, operator=is_operator, address=address)
        return session, token

    async def find(self, token: str, /) -> Session:
        """The session of a token. Raises NoSession, Unavailable."""
        session = await self._found(token)
        if session is None:
            raise NoSession
        return session

    async def admit(self, token: str, project: str, mode: str, scope: Scope, /) -> tuple[Admitted, Session]:
        """The tenant that a request with this token is bound to: of the project and mode named, or for "" the session's first.

        Raises NoSession, Forbidden, RateLimited (with the allowance), Unavailable, InvalidRequest.
        """
        session = await self.find(token)
        tenant = _tenant(session, project, mode, scope)
        key = None if session.is_operator else session.key_for(tenant.project, tenant.mode)
        return Admitted(tenant, self._limits.spend(_LIMIT, session.id), key, OPERATOR), session

    async def still_admits(self, token: str, tenant: Tenant, scope: Scope, /) -> bool:
        """Whether the session still opens what it opened. Counts nothing. Raises Unavailable."""
        try:
            _tenant(await self.find(token), tenant.project, tenant.mode, scope)
        except (Unauthorized, Forbidden):
            return False
        return True

    async def opens(self, session: Session, /) -> Sequence[Opened]:
        """What the session opens, by the key with the most scopes; for an operator, every project. Raises Unavailable."""
        found: dict[Tenant, Opened] = {}
        for each in sorted(session.keys, key=lambda key: len(key.scopes)):
            found[each.tenant] = Opened(each.tenant, each.scopes, each.prefix or each.id)
        if session.is_operator:
            names = dict.fromkeys(["default", *await self._ask(self._store.projects)])
            for tenant in (Tenant(name, mode) for name in names for mode in MODES):
                found[tenant] = Opened(tenant, frozenset(SCOPES), "")
        return sorted(found.values(), key=lambda each: (each.tenant.project, each.tenant.mode))

    async def listed(self, session: Session, /) -> Sequence[Session]:
        """The sessions that this one may see: an operator's all, others those that hold a key it may administer, and itself."""
        every = await self._ask(self._store.listed)
        return [each for each in every if _may_end(session, each)]

    async def end(self, session: Session, session_id: str, /) -> None:
        """End a session that this one may see, also one that is too far down to be listed. Raises NotFound, Unavailable."""
        found = await self._ask(lambda: self._store.listed(session_id)) if session_id else ()
        if not any(_may_end(session, each) for each in found):
            raise NotFound(f"There is no session {session_id[:80]!r}.")
        await self._ask(lambda: self._store.end(session_id))
        self._drop(session_id)
        _log.info("console_session_ended", session=session_id, by=session.id)

    async def _found(self, token: str) -> Session | None:
        if not token or len(token) > 100:
            return None
        hashed, now_ms = _hash(token), self._clock_ms()
        session, seen_at_ms = self._seen.get(hashed, (None, 0))
        if session is None or not 0 <= now_ms - seen_at_ms < _FRESH_FOR_MS:
            found = await self._ask(lambda: self._store.find(hashed))
            if found is None:
                self._seen.pop(hashed, None)
                return None
            session = self._with_admin_key(token, *found)
            self._seen.pop(hashed, None)
            if len(self._seen) >= _MOST_CACHED:
                del self._seen[next(iter(self._seen))]
            self._seen[hashed] = session, now_ms
        if not session.works_at(now_ms):
            return None
        if now_ms - session.used_at_ms >= _TOUCH_EVERY_MS:
            session_id = session.id
            await self._ask(lambda: self._store.touch(session_id, now_ms))
            self._seen[hashed] = msgspec.structs.replace(session, used_at_ms=now_ms), now_ms
        return session

    def _with_admin_key(self, token: str, session: Session, proof: str) -> Session:
        if not proof or not self._admin_digest or not hmac.compare_digest(proof, self._proof(token)):
            return session
        own = Key(
            id=OPERATORS_KEY,
            tenant=Tenant("default", "live"),
            style="admin",
            scopes=frozenset(SCOPES),
            prefix="",
            created_at_ms=0,
        )
        return msgspec.structs.replace(session, keys=(own, *session.keys))

    def _proof(self, token: str) -> str:
        """Whoever reads the database cannot try keys by it: they lack the token."""
        return hmac.new(token.encode(), self._admin_digest, hashlib.sha256).hexdigest()

    def _drop(self, session_id: str) -> None:
        self._seen = {hashed: seen for hashed, seen in self._seen.items() if seen[0].id != session_id}

    def _limit_attempts(self, address: str) -> None:
        self._attempts.spend(_ATTEMPTS, address)

    async def _ask(self, question: Callable[[], Answer]) -> Answer:
        try:
            return await asyncio.to_thread(question)
        except ControlFailed as error:
            raise Unavailable("The control database is not responding.") from error


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _tenant(session: Session, project: str, mode: str, scope: Scope) -> Tenant:
    if mode not in ("", *MODES):
        raise InvalidRequest("The header Headrace-Mode must be live or test.")
    if project:
        check_project(project)
    if session.is_operator:
        return Tenant(project or "default", mode or "live")
    key = session.key_for(project, mode)
    if key is None:
        raise Forbidden(f"This session holds no key for {project or 'any project'} {mode}. Log in with one.".strip())
    if scope not in key.scopes:
        raise Forbidden(
            f"The key {key.prefix or key.id}… has the scopes {', '.join(sorted(key.scopes))}; this requires '{scope}'. "
            f"Make a key that has it with: headrace keys create --project {key.tenant.project} --mode {key.tenant.mode} "
            "--style admin"
        )
    return key.tenant


def _may_end(session: Session, other: Session) -> bool:
    if session.is_operator or session.id == other.id:
        return True
    mine = {each.tenant for each in session.keys if "admin" in each.scopes}
    return not other.is_operator and any(each.tenant in mine for each in other.keys)
