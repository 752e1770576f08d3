"""A console's admission over sessions in memory, with clocks that only the test moves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import msgspec

from headrace.assembly.console import ConsoleAdmission
from headrace.assembly.rate_limits import RateLimits
from headrace.model.console import Session
from headrace.model.errors import InvalidKey
from headrace.model.event import Mode, Tenant
from headrace.model.keys import OPERATORS_KEY, SCOPES, Key, Scope
from headrace.ports.control import ControlFailed

Value = TypeVar("Value")
NOW_MS = 1_800_000_000_000
EVERY: frozenset[Scope] = frozenset(SCOPES)


def key(name: str, scopes: frozenset[Scope] = EVERY, mode: Mode = "live", project: str = "") -> Key:
    tenant = Tenant(project or name, mode)
    return Key(id=name, tenant=tenant, style="admin", scopes=scopes, prefix=f"adm_{name}", created_at_ms=0)


class Kept:
    """Sessions in a dict, by the token's hash, and keys by their secret, which is their id."""

    def __init__(self, *keys: Key) -> None:
        self.keys = {each.id: each for each in keys}
        self.sessions: dict[str, tuple[Session, str]] = {}
        self.touched: list[tuple[str, int]] = []
        self.finds = 0
        self.most_listed = 200
        self.broken = False

    def open(self, session: Session, token_hash: str, proof: str, replaces: str, /) -> None:
        self.end(replaces)
        stored = tuple(each for each in session.keys if each.id in self.keys)
        self.sessions[token_hash] = (msgspec.structs.replace(session, keys=stored), proof)

    def find(self, token_hash: str, /) -> tuple[Session, str] | None:
        self.finds += 1
        if self.broken:
            raise ControlFailed("no")
        found = self.sessions.get(token_hash)
        if found is None:
            return None
        return msgspec.structs.replace(found[0], keys=tuple(e for e in found[0].keys if e.id in self.keys)), found[1]

    def touch(self, session_id: str, now_ms: int, /) -> None:
        self.touched.append((session_id, now_ms))
        for hashed, (session, proof) in self.sessions.items():
            if session.id == session_id:
                self.sessions[hashed] = msgspec.structs.replace(session, used_at_ms=now_ms), proof

    def end(self, session_id: str, /) -> bool:
        before = len(self.sessions)
        self.sessions = {hashed: each for hashed, each in self.sessions.items() if each[0].id != session_id}
        return len(self.sessions) < before

    def listed(self, session_id: str = "", /) -> list[Session]:
        found = [session for session, _ in self.sessions.values() if session_id in ("", session.id)]
        return found[: self.most_listed]

    def server_id(self) -> str:
        return "01234567"

    def projects(self) -> list[str]:
        return ["shop"]

    def cached(self, secret: str, /) -> Key | None:
        return None

    def check(self, secret: str, /) -> Key:
        if secret == "of the settings":
            return msgspec.structs.replace(key(OPERATORS_KEY, project="default"), prefix="")
        if secret not in self.keys:
            raise InvalidKey
        return self.keys[secret]


class Visit:
    """A console over what is kept, and the two clocks."""

    def __init__(
        self, *keys: Key, attempts: int = 100, admin_key: str = "of the settings", kept: Kept | None = None
    ) -> None:
        self.now_ms, self.monotonic_s = NOW_MS, 0.0
        self.kept = kept or Kept(*keys)
        self.console = ConsoleAdmission(
            *(self.kept, self.kept, RateLimits({"console": 3}, monotonic_s=lambda: self.monotonic_s)),
            admin_key=admin_key,
            attempts=attempts,
            clock_ms=lambda: self.now_ms,
            monotonic_s=lambda: self.monotonic_s,
        )

    def log_in(self, secret: str, token: str = "", address: str = "::1") -> str:
        return asyncio.run(self.console.log_in_by_key(secret, token, address))[1]

    def by_code(self, code: str, token: str = "") -> str:
        return asyncio.run(self.console.log_in_by_code(code, token, "::1"))[1]

    def find(self, token: str) -> Session:
        return run(self.console.find(token))

    def admit(self, token: str, project: str = "", mode: str = "", scope: Scope = "query") -> Tenant:
        return run(self.console.admit(token, project, mode, scope))[0].tenant


def run(asked: Coroutine[Any, Any, Value]) -> Value:
    return asyncio.run(asked)
