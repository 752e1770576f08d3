"""API keys: their store, and looking up the key of a secret. The store's methods raise ControlFailed."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from headrace.model.event import Mode
from headrace.model.keys import Key, Scope, Style


class KeyStore(Protocol):
    """API keys. Only the hash of a secret is stored."""

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
        """Create a key, and its project if that is new. Returns it with its secret, never shown again. Raises InvalidRequest."""
        ...

    def list(self) -> tuple[Key, ...]:
        """Every key, including revoked and expired ones, oldest first."""
        ...

    def find(self, secret: str, /) -> Key | None:
        """The key with a secret, even if it is revoked or expired."""
        ...

    def revoke(self, named: str, /, now_ms: int) -> Key:
        """Revoke the key with this id, secret or prefix. Raises NotFound, and InvalidRequest if several keys match."""
        ...


class KeyCheck(Protocol):
    """Looks up the key of a secret, many thousand times a second. Any thread may call it."""

    def cached(self, secret: str, /) -> Key | None:
        """The key, if it is known to work without asking the database. None means unknown: call `check`."""
        ...

    def check(self, secret: str, /) -> Key:
        """The key of a secret. May ask the database, so call it off the event loop. Raises InvalidKey, Unavailable."""
        ...
