"""API keys: their store, and looking up the key of a secret. The store's methods raise ControlFailed."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Protocol

from headrace.model.event import Mode, Tenant
from headrace.model.keys import Key, KeyUse, Scope, Style


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
        name: str = "",
    ) -> tuple[Key, str]:
        """Create a key, and its project if that is new. Returns it with its secret, never shown again.

        Raises InvalidRequest, and Conflict for a key too many.
        """
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

    def rotate(
        self, named: str, /, now_ms: int, overlap_ms: int, expires_at_ms: int | None = None
    ) -> tuple[Key, str, Key]:
        """Make a key that takes the place of another, which works for `overlap_ms` more; the new one, its secret, the former one.

        Raises what `revoke` raises, and Conflict for a key that does not work any more or was rotated already.
        """
        ...


class TenantKeys(Protocol):
    """The API keys of one project and mode."""

    def page(self, tenant: Tenant, after: tuple[int, str], limit: int, /) -> list[Key]:
        """Keys past a time of creation and an id, oldest first, also revoked and expired ones."""
        ...

    def get(self, tenant: Tenant, key_id: str, /) -> Key:
        """Raises NotFound, also for the key of another project or mode."""
        ...

    def mark_used(self, used: Mapping[str, int], /) -> None:
        """Keep when keys, by id, were used, where that is later than what is kept."""
        ...

    def count_uses(self, uses: Sequence[KeyUse], before_ms: int, /) -> None:
        """Add what keys were used for to what is kept of it, and drop what began before a time."""
        ...

    def uses(self, key_id: str, since_ms: int, /) -> list[KeyUse]:
        """What a key was used for in the times that began no earlier than `since_ms`, in any order."""
        ...


class KeyCheck(Protocol):
    """Looks up the key of a secret, many thousand times a second. Any thread may call it."""

    def cached(self, secret: str, /) -> Key | None:
        """The key, if it is known to work without asking the database. None means unknown: call `check`."""
        ...

    def check(self, secret: str, /) -> Key:
        """The key of a secret. May ask the database, so call it off the event loop. Raises InvalidKey, Unavailable."""
        ...
