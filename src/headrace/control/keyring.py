"""Finds the key of a secret, many thousand times a second. Knows no HTTP and no scope's meaning."""

import hmac
from collections.abc import Callable
from threading import Lock

from headrace.control.api_keys import digest
from headrace.model.errors import InvalidKey, SettingsError, Unavailable
from headrace.model.event import Tenant
from headrace.model.keys import OPERATORS_KEY, SCOPES, Key
from headrace.ports.control import ControlFailed
from headrace.ports.keys import KeyStore

MAX_SECRET_CHARS = 512


def require_sendable(admin_key: str, /) -> None:
    """Raises SettingsError for an admin key that no request could carry."""
    if len(admin_key) > MAX_SECRET_CHARS:
        raise SettingsError(f"HEADRACE_ADMIN_KEY: Expected length <= {MAX_SECRET_CHARS}.")
    if admin_key != admin_key.strip() or not (admin_key.isascii() and admin_key.isprintable()):
        # Headers lose blanks at their ends (RFC 9110 §5.5). A line break comes from a file that was read whole.
        raise SettingsError(
            "HEADRACE_ADMIN_KEY: Expected printable ASCII without a blank or a line break at either end; no request could "
            "carry this key."
        )


class Keyring:
    """The working keys. Caches the last `max_cached` of them for `fresh_for_ms`. Any thread may call it.

    Only hits are cached, so a new key works at once, and a revoked one stops within `fresh_for_ms`, whichever process
    created or revoked it. While the database does not answer, those that worked within `known_for_ms` go on working.

    admin_key: a secret with every scope on project `default`, mode `live`; none if empty.
    Raises SettingsError for an admin key that no request could carry.
    """

    def __init__(
        self,
        keys: KeyStore,
        admin_key: str,
        clock_ms: Callable[[], int],
        fresh_for_ms: int = 500,
        known_for_ms: int = 0,
        max_cached: int = 10_000,
    ) -> None:
        require_sendable(admin_key)
        self._keys = keys
        self._admin_digest = digest(admin_key) if admin_key else None
        self._admin = Key(
            id=OPERATORS_KEY,
            tenant=Tenant("default", "live"),
            style="admin",
            scopes=frozenset(SCOPES),
            prefix="",
            created_at_ms=0,
        )
        self._clock_ms = clock_ms
        self._fresh_for_ms = fresh_for_ms
        self._known_for_ms = known_for_ms
        self._max_cached = max_cached
        # By digest: the key, and the time before its look-up, which no later revocation can have affected; oldest first.
        self._seen: dict[bytes, tuple[Key, int]] = {}
        self._unsure_since_ms: dict[bytes, int] = {}  # of keys that could not be looked up again: their last look-up
        self._used: dict[str, int] = {}
        self._lock = Lock()

    def cached(self, secret: str, /) -> Key | None:
        """The key, if the cache shows that it works. None means unknown: call `check`."""
        if len(secret) > MAX_SECRET_CHARS:
            return None
        return self._remembered(digest(secret), self._clock_ms())

    def check(self, secret: str, /) -> Key:
        """The key of a secret. May ask the database, so call it off the event loop.

        Raises InvalidKey for an unknown, revoked or expired key, Unavailable if the database does not answer.
        """
        if len(secret) > MAX_SECRET_CHARS:
            raise InvalidKey
        hashed = digest(secret)
        with self._lock:  # one look-up at a time, which serves all that waited for the same key
            now_ms = self._clock_ms()
            if key := self._remembered(hashed, now_ms):
                return key
            try:
                key = self._keys.find(secret)
            except ControlFailed as error:
                if known := self._known_before(hashed, now_ms):
                    return known
                raise Unavailable("API keys cannot be checked right now; nothing was stored.") from error
            self._unsure_since_ms.pop(hashed, None)
            if key is None or not key.works_at(now_ms):
                raise InvalidKey
            self._seen.pop(hashed, None)
            if len(self._seen) >= self._max_cached:
                oldest = next(iter(self._seen))
                del self._seen[oldest]
                self._unsure_since_ms.pop(oldest, None)
            self._seen[hashed] = (key, now_ms)
            self._used[key.id] = now_ms
        return key

    def take_used(self) -> dict[str, int]:
        """When which key was last used, by id, of those used since the last call; to within `fresh_for_ms`.

        A look-up per key and half-second is what a key in use costs anyway, so that no request has to be noted for this.
        """
        with self._lock:
            used, self._used = self._used, {}
        return used

    def _known_before(self, hashed: bytes, now_ms: int) -> Key | None:
        """The key if it has worked a while ago. Then it is fresh again, so that not every request asks in vain."""
        key, seen_at_ms = self._seen.get(hashed, (None, 0))
        since_ms = self._unsure_since_ms.get(hashed, seen_at_ms)
        if key is None or not key.works_at(now_ms) or not 0 <= now_ms - since_ms < self._known_for_ms:
            return None
        self._unsure_since_ms[hashed] = since_ms
        self._seen[hashed] = (key, now_ms)
        return key

    def _remembered(self, hashed: bytes, now_ms: int) -> Key | None:
        if self._admin_digest and hmac.compare_digest(hashed, self._admin_digest):
            return self._admin
        key, seen_at_ms = self._seen.get(hashed, (None, 0))
        # A negative age means that the wall clock was set back. The age is then unknown, so ask again.
        if key and 0 <= now_ms - seen_at_ms < self._fresh_for_ms and key.works_at(now_ms):
            return key
        return None
