"""API keys: their store, and the check of a secret. The store's methods raise ControlFailed."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from headrace.model.event import Mode
from headrace.model.keys import Key, Scope, Style


class KeyStore(Protocol):
    """API keys. A secret is kept as its hash alone."""

    def create(
        self,
        project: str,
        mode: Mode,
        style: Style,
        scopes: AbstractSet[Scope] | None,
        now_ms: int,
        expires_at_ms: int | None = None,
        origins: Sequence[str] = (),
    ) -> tuple[Key, str]:
        """A new key and its secret, which nobody can be told again; a new project is made with it. Raises InvalidRequest."""
        ...

    def list(self) -> tuple[Key, ...]:
        """Every key, also revoked and expired ones, oldest first."""
        ...

    def find(self, secret: str, /) -> Key | None:
        """The key of a secret, also when it is revoked or expired."""
        ...

    def revoke(self, named: str, /, now_ms: int) -> Key:
        """Revoke the key of that id, secret or prefix. Raises NotFound, and InvalidRequest where several keys fit."""
        ...


class KeyCheck(Protocol):
    """Says which key a secret is, many thousand times a second. Any thread may call it."""

    def cached(self, secret: str, /) -> Key | None:
        """The key, if it is known to work without asking the database; None says nothing: call `check`."""
        ...

    def check(self, secret: str, /) -> Key:
        """The key of a secret. May ask the database: call it off the event loop. Raises InvalidKey, Unavailable."""
        ...
