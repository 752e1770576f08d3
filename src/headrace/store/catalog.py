"""Answers which names, sources and properties there are."""

import msgspec

from headrace.model.event import Tenant
from headrace.model.filters import (
    MAX_CATALOG_PROPERTIES,
    MAX_PROPERTY_CHARS,
    PROPERTY_TYPES,
    Catalog,
    CatalogEntry,
    CatalogPage,
    Observed,
    PropertyType,
)
from headrace.store.engine import Engine
from headrace.store.queries import catalog as queries


class CatalogReader(Engine):
    """Part of the Reader port."""

    def observed(self, tenant: Tenant, column: str, limit: int, search: str = "", /) -> list[Observed]:
        """See the Reader port."""
        return [Observed(*row) for row in self._rows(queries.observed(tenant, column, limit, search))]

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        """See the Reader port."""
        rows = self._rows(queries.names(tenant, page))
        if not rows:  # past the last name, the page itself cannot tell how many there are
            first = self._rows(queries.names(tenant, msgspec.structs.replace(page, after=None))) if page.after else []
            return Catalog(first[0][4] if first else 0, [], more=False)
        total, found = rows[0][4], rows[: page.limit]
        types = {
            name: _types(*kept) for name, *kept in self._rows(queries.properties(tenant, [row[0] for row in found]))
        }
        examples = self._events(queries.latest(tenant, [(name, last) for name, _, _, last, _ in found]))
        example_of = {event.name: event for event in examples}
        return Catalog(
            total,
            [
                CatalogEntry(name, count, first, last, *types[name], example_of.get(name))
                for name, count, first, last, _ in found
            ],
            more=len(rows) > page.limit,
        )


def _types(
    strings: list[str], numbers: list[str], others: list[str]
) -> tuple[list[tuple[str, list[PropertyType]]], bool]:
    """Each key with its types, by key, and whether there are more than are kept."""
    found: dict[str, set[PropertyType]] = {}
    for letter, keys in (("s", strings), ("i", numbers)):
        for key in keys:
            found.setdefault(key[:MAX_PROPERTY_CHARS], set()).add(queries.PROPERTY_LETTERS[letter])
    for other in others:
        found.setdefault(other[1:][:MAX_PROPERTY_CHARS], set()).add(queries.PROPERTY_LETTERS[other[0]])
    truncated = max(len(found), len(strings), len(numbers), len(others)) > MAX_CATALOG_PROPERTIES
    keys = sorted(found)[:MAX_CATALOG_PROPERTIES]
    return [(key, [kind for kind in PROPERTY_TYPES if kind in found[key]]) for key in keys], truncated
