"""API keys as rows of their table."""

from typing import Any

import sqlalchemy as sa

from headrace.control.tables.keys import keys
from headrace.model.event import Tenant
from headrace.model.keys import Key, parse_scopes, render_scopes


def of_tenant(tenant: Tenant, /) -> sa.ColumnElement[bool]:
    """Whether a key is the tenant's."""
    return sa.and_(keys.c.project == tenant.project, keys.c.mode == tenant.mode)


def columns_of(key: Key, /) -> dict[str, object]:
    """The row of a new key, without the hash of its secret."""
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
        "name": key.name,
    }


def key_of(row: sa.Row[Any], /) -> Key:
    """The key of a row of the table."""
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
        name=row.name,
        last_used_at_ms=row.last_used_at_ms,
        replaced_by=row.replaced_by or "",
    )
