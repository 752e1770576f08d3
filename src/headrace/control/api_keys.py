"""API keys: creates, lists, finds and revokes them. Stores a hash of each secret and never the secret.

Clients send the **secret**. A **prefix** is its beginning: enough to tell keys apart, too little to guess the rest. An **id**
names the key where the secret must not be seen.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading, transact
from headrace.control.tables.keys import keys
from headrace.control.tables.projects import projects
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import Mode, Tenant
from headrace.model.keys import SCOPES, STYLES, Key, Scope, Style, parse_scopes, render_scopes
from headrace.model.times import LATEST_MS

_SECRET_BYTES = 32  # 256 bits, 43 characters
_SHOWN_CHARS = 6  # of these 43, in the prefix; 220 bits stay unknown
_PROJECT = re.compile(r"[a-z0-9_-]{1,100}", re.ASCII)


class Keys:
    """The keys in the control database. Any thread may call it; every method raises ControlFailed."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

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
        """Create a key, and its project if that is new. Returns the key and its secret, which cannot be shown again.

        scopes: None means those of the style. Raises InvalidRequest for an invalid project name, an empty set of scopes, a
        publishable key with a scope other than ingest, and an expiry that is not in the future.
        """
        if not _PROJECT.fullmatch(project):
            raise InvalidRequest(
                "A project's name is 1 to 100 characters, each a lower-case letter a to z, a digit, '_' or '-'."
            )
        live_prefix, test_prefix, style_scopes = STYLES[style]
        if scopes is not None and not scopes:
            raise InvalidRequest(f"A key needs a scope: one or more of {', '.join(SCOPES)}.")
        if expires_at_ms is not None and not now_ms < expires_at_ms <= LATEST_MS:
            raise InvalidRequest("A key's expiry must be in the future, and before the year 2262.")
        if style == "publishable" and scopes not in (None, style_scopes):
            raise InvalidRequest(
                "Anybody who opens the page can read a publishable key, so its only scope can be ingest."
            )
        if origins and style != "publishable":
            raise InvalidRequest("Only a publishable key has origins: add --publishable.")
        start = live_prefix if mode == "live" else test_prefix
        secret = start + secrets.token_urlsafe(_SECRET_BYTES)
        key = Key(
            id=f"key_{secrets.token_hex(8)}",
            tenant=Tenant(project, mode),
            style=style,
            scopes=style_scopes if scopes is None else frozenset(scopes),
            prefix=secret[: len(start) + _SHOWN_CHARS],
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            origins=tuple(origins),
        )

        def keep(connection: sa.Connection) -> None:
            new = insert(connection, projects).values(name=project, created_at_ms=now_ms)
            connection.execute(new.on_conflict_do_nothing())
            connection.execute(sa.insert(keys).values(hash=digest(secret).hex(), **_columns(key)))

        transact(self._engine, keep)
        return key, secret

    def list(self) -> tuple[Key, ...]:
        """Every key, including revoked and expired ones, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created_at_ms, keys.c.id)).all()
        return tuple(map(_key, rows))

    def find(self, secret: str, /) -> Key | None:
        """The key with this secret, even if it is revoked or expired: check `works_at`."""
        wanted = digest(secret).hex()
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(keys).where(keys.c.hash == wanted)).one_or_none()
        # The time of the index look-up reveals at most bits of a hash, which lead to no secret; the comparison reveals nothing.
        if row is None or not hmac.compare_digest(row.hash, wanted):
            return None
        return _key(row)

    def revoke(self, named: str, /, now_ms: int) -> Key:
        """Revoke the key with this id, secret, or prefix (as listed, or shortened). A revoked key stays as it is.

        Raises NotFound, and InvalidRequest for a prefix that several working keys share or that names only a style: a key
        cannot be restored, so a slip must not revoke the only key there happens to be.
        """
        starts = [start for live, test, _ in STYLES.values() for start in (live, test)]
        if any(start.startswith(named) for start in starts):
            raise InvalidRequest("Too many keys start with this: give an id, or more of the key.")

        def end(connection: sa.Connection) -> Key:
            asked = sa.select(keys).where(_is_named(named)).order_by(keys.c.id).with_for_update()
            rows = connection.execute(asked).all()
            if not rows:
                raise NotFound("No key has this id, prefix or secret; `headrace keys list` shows every id.")
            found = [key for key in map(_key, rows) if key.revoked_at_ms is None]
            if not found:
                return _key(rows[0])
            if len(found) > 1:
                ids = ", ".join(key.id for key in found[:5])
                raise InvalidRequest(f"{len(found)} keys start with this: give the id of one ({ids}).")
            connection.execute(sa.update(keys).where(keys.c.id == found[0].id).values(revoked_at_ms=now_ms))
            return msgspec.structs.replace(found[0], revoked_at_ms=now_ms)

        return transact(self._engine, end)


def digest(secret: str, /) -> bytes:
    """The hash that is stored and compared instead of a secret. Any string has one, even with lone surrogates."""
    # Slow hashes (argon2, bcrypt) are for passwords, which can be guessed. 256 random bits cannot, so one SHA-256 is as
    # safe as many rounds, and costs a microsecond per request.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _is_named(text: str) -> sa.ColumnElement[bool]:
    if not (text.isascii() and text.isprintable()):  # no key contains it, and not every database accepts all of Unicode
        return sa.false()
    # Not LIKE: "_" matches any character there, and on SQLite "a" matches "A".
    begins = sa.func.substr(keys.c.prefix, 1, len(text)) == text
    return sa.or_(keys.c.id == text, keys.c.hash == digest(text).hex(), begins)


def _columns(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "project": key.tenant.project,
        "mode": key.tenant.mode,
        "style": key.style,
        "scopes": render_scopes(key.scopes),
        "prefix": key.prefix,
        "created_at_ms": key.created_at_ms,
        "expires_at_ms": key.expires_at_ms,
        "revoked_at_ms": key.revoked_at_ms,
        "origins": " ".join(key.origins) or None,
    }


def _key(row: sa.Row[Any]) -> Key:
    return Key(
        id=row.id,
        tenant=Tenant(row.project, row.mode),
        style=row.style,
        scopes=parse_scopes(row.scopes),
        prefix=row.prefix,
        created_at_ms=row.created_at_ms,
        expires_at_ms=row.expires_at_ms,
        revoked_at_ms=row.revoked_at_ms,
        origins=tuple((row.origins or "").split()),
    )
