"""API keys: creates, lists, finds, rotates and revokes them. Stores a hash of each secret and never the secret.

Clients send the **secret**. A **prefix** is its beginning: enough to tell keys apart, too little to guess the rest. An **id**
names the key where the secret must not be seen.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import msgspec
import sqlalchemy as sa

from headrace.control.database import reading, transact
from headrace.control.key_rows import columns_of, key_of, of_tenant
from headrace.control.locks import lock_project, lock_tenant
from headrace.control.tables.keys import keys
from headrace.model.audit import add_detail
from headrace.model.errors import Conflict, InvalidRequest, NotFound
from headrace.model.event import Mode, Tenant
from headrace.model.keys import (
    SCOPES,
    SHOWN_CHARS,
    STYLES,
    Key,
    Scope,
    Style,
    check_name,
    check_project,
)
from headrace.model.times import LATEST_MS

_SECRET_BYTES = 32  # 256 bits, 43 characters
MOST_KEYS = 1000  # that work, of a project and mode


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
        name: str = "",
    ) -> tuple[Key, str]:
        """Create a key, and its project if that is new. Returns the key and its secret, which cannot be shown again.

        scopes: None means those of the style. Raises InvalidRequest for an invalid project name or name, an empty set of scopes,
        a publishable key with a scope other than ingest, and an expiry that is not in the future; Conflict for a key too many.
        """
        check_project(project)
        style_scopes = STYLES[style][2]
        if scopes is not None and not scopes:
            raise InvalidRequest(f"A key needs a scope: one or more of {', '.join(SCOPES)}.")
        _check_expiry(expires_at_ms, now_ms)
        if style == "publishable" and scopes not in (None, style_scopes):
            raise InvalidRequest(
                "Anyone who opens the page can read a publishable key, so its only scope can be ingest."
            )
        if origins and style != "publishable":
            raise InvalidRequest("Only a publishable key has origins: add --publishable.")
        secret, prefix = _new_secret(style, mode)
        key = Key(
            id=_new_id(),
            tenant=Tenant(project, mode),
            style=style,
            scopes=style_scopes if scopes is None else frozenset(scopes),
            prefix=prefix,
            created_at_ms=now_ms,
            expires_at_ms=expires_at_ms,
            origins=tuple(origins),
            name=check_name(name),
        )

        def keep(connection: sa.Connection) -> None:
            lock_project(connection, project, now_ms)
            lock_tenant(connection, key.tenant)  # else two at once would both find room for the last one
            _require_room(connection, key.tenant, now_ms)
            connection.execute(sa.insert(keys).values(hash=digest(secret).hex(), **columns_of(key)))
            add_detail(f"made {key.id} ({key.prefix}…)", key.tenant)

        transact(self._engine, keep)
        return key, secret

    def list(self) -> tuple[Key, ...]:
        """Every key, including revoked and expired ones, oldest first."""
        with reading(self._engine) as connection:
            rows = connection.execute(sa.select(keys).order_by(keys.c.created_at_ms, keys.c.id)).all()
        return tuple(map(key_of, rows))

    def find(self, secret: str, /) -> Key | None:
        """The key with this secret, even if it is revoked or expired: check `works_at`."""
        wanted = digest(secret).hex()
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(keys).where(keys.c.hash == wanted)).one_or_none()
        # The time of the index look-up reveals at most bits of a hash, which lead to no secret; the comparison reveals nothing.
        if row is None or not hmac.compare_digest(row.hash, wanted):
            return None
        return key_of(row)

    def revoke(self, named: str, /, now_ms: int) -> Key:
        """Revoke the key with this id, secret, or prefix (as listed, or shortened). A revoked key stays as it is.

        Raises NotFound, and InvalidRequest for a prefix that several working keys share or that names only a style: a key
        cannot be restored, so a slip must not revoke the only key there happens to be.
        """
        _require_more_than_a_style(named)

        def end(connection: sa.Connection) -> Key:
            key = _one_named(connection, named)
            if key.revoked_at_ms is not None:
                return key
            connection.execute(sa.update(keys).where(keys.c.id == key.id).values(revoked_at_ms=now_ms))
            add_detail(f"revoked {key.id} ({key.prefix}…)", key.tenant)
            return msgspec.structs.replace(key, revoked_at_ms=now_ms)

        return transact(self._engine, end)

    def rotate(
        self, named: str, /, now_ms: int, overlap_ms: int, expires_at_ms: int | None = None
    ) -> tuple[Key, str, Key]:
        """Make a key that takes the place of another, which works for `overlap_ms` more, unless it expires earlier.

        named: as for `revoke`. expires_at_ms: of the new key; None means that it lives as long as the former was to live.
        Returns the new key, its secret, which cannot be shown again, and the former key. Raises what `revoke` and `create`
        raise, and Conflict for a key that does not work any more or was rotated already.
        """
        _require_more_than_a_style(named)

        def turn(connection: sa.Connection) -> tuple[Key, str, Key]:
            former = _one_named(connection, named)
            if former.replaced_by:
                raise Conflict(
                    f"The key {former.id} was rotated already: rotate {former.replaced_by}, which replaced it."
                )
            if not former.works_at(now_ms):
                raise Conflict(f"The key {former.id} does not work any more: create a new one.")
            until_ms = now_ms + overlap_ms
            lives_until_ms = expires_at_ms
            if former.expires_at_ms is not None:
                until_ms = min(until_ms, former.expires_at_ms)
                lives_until_ms = expires_at_ms or now_ms + former.expires_at_ms - former.created_at_ms
            _check_expiry(lives_until_ms, now_ms)
            secret, prefix = _new_secret(former.style, former.tenant.mode)
            key = msgspec.structs.replace(
                former,
                id=_new_id(),
                prefix=prefix,
                created_at_ms=now_ms,
                expires_at_ms=lives_until_ms,
                last_used_at_ms=None,
            )
            _require_room(connection, key.tenant, now_ms)
            connection.execute(sa.insert(keys).values(hash=digest(secret).hex(), **columns_of(key)))
            former = msgspec.structs.replace(former, expires_at_ms=until_ms, replaced_by=key.id)
            changed = {"expires_at_ms": until_ms, "replaced_by": key.id}
            connection.execute(sa.update(keys).where(keys.c.id == former.id).values(changed))
            add_detail(f"made {key.id} ({key.prefix}…) in place of {former.id} ({former.prefix}…)", key.tenant)
            return key, secret, former

        return transact(self._engine, turn)


def digest(secret: str, /) -> bytes:
    """The hash that is stored and compared instead of a secret. Any string has one, even with lone surrogates."""
    # Slow hashes (argon2, bcrypt) are for passwords, which can be guessed. 256 random bits cannot, so one SHA-256 is as
    # safe as many rounds, and costs a microsecond per request.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


def _new_id() -> str:
    return f"key_{secrets.token_hex(8)}"


def _new_secret(style: Style, mode: Mode) -> tuple[str, str]:
    """A secret and its prefix."""
    live, test, _ = STYLES[style]
    start = live if mode == "live" else test
    secret = start + secrets.token_urlsafe(_SECRET_BYTES)
    return secret, secret[: len(start) + SHOWN_CHARS]


def _check_expiry(expires_at_ms: int | None, now_ms: int) -> None:
    if expires_at_ms is not None and not now_ms < expires_at_ms <= LATEST_MS:
        raise InvalidRequest("A key's expiry must be in the future, and before the year 2262.")


def _require_room(connection: sa.Connection, tenant: Tenant, now_ms: int) -> None:
    works = keys.c.revoked_at_ms.is_(None), sa.or_(keys.c.expires_at_ms.is_(None), keys.c.expires_at_ms > now_ms)
    held = connection.scalar(sa.select(sa.func.count()).where(of_tenant(tenant), *works)) or 0
    if held >= MOST_KEYS:
        raise Conflict(f"There are {held} working keys in this project and mode, which is the limit: revoke some.")


def _require_more_than_a_style(named: str) -> None:
    starts = [start for live, test, _ in STYLES.values() for start in (live, test)]
    if any(start.startswith(named) for start in starts):
        raise InvalidRequest("Too many keys start with this: give an id, or more of the key.")


def _one_named(connection: sa.Connection, named: str) -> Key:
    """The one key of that id, secret or prefix that is not revoked, locked; else the first that is."""
    rows = connection.execute(sa.select(keys).where(_is_named(named)).order_by(keys.c.id).with_for_update()).all()
    if not rows:
        raise NotFound("No key has this id, prefix or secret; `headrace keys list` shows every id.")
    found = [key for key in map(key_of, rows) if key.revoked_at_ms is None]
    if len(found) > 1:
        ids = ", ".join(key.id for key in found[:5])
        raise InvalidRequest(f"{len(found)} keys start with this: give the id of one ({ids}).")
    return found[0] if found else key_of(rows[0])


def _is_named(text: str) -> sa.ColumnElement[bool]:
    if not (text.isascii() and text.isprintable()):  # no key contains it, and not every database accepts all of Unicode
        return sa.false()
    # Not LIKE: "_" matches any character there, and on SQLite "a" matches "A".
    begins = sa.func.substr(keys.c.prefix, 1, len(text)) == text
    return sa.or_(keys.c.id == text, keys.c.hash == digest(text).hex(), begins)
