"""Lists event names, sources and properties."""

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
from headrace.store.engine import Engine, NeedsMoreMemory
from headrace.store.queries import catalog as queries


class CatalogReader:
    """Fits the NameReader port."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def observed(self, tenant: Tenant, column: str, limit: int, search: str = "", /) -> list[Observed]:
        """See the NameReader port."""
        asked = tenant, column, limit, search
        try:
            rows = self._engine.rows(queries.observed(*asked))
        except NeedsMoreMemory:  # millions of values: anybody with a publishable key may send that many
            rows = self._engine.rows(queries.observed_lately(*asked))
        return [Observed(*row) for row in rows]

    def catalog(self, tenant: Tenant, page: CatalogPage, /) -> Catalog:
        """See the NameReader port."""
        try:
            rows = self._engine.rows(queries.names(tenant, page))
        except NeedsMoreMemory:
            rows = self._engine.rows(queries.names(tenant, page, in_order=True))
        found = rows[: page.limit]
        if page.after is None and len(rows) <= page.limit:
            total = len(rows)
        else:
            total = names_total(self._engine, tenant, page)
        if not found:
            return Catalog(total, [], more=False)
        types = {
            name: _types(*kept)
            for name, *kept in self._engine.rows(queries.properties(tenant, [row[0] for row in found]))
        }
        examples = self._engine.events(queries.latest(tenant, [(name, last) for name, _, _, last in found]))
        example_of = {event.name: event for event in examples}
        return Catalog(
            total,
            [
                CatalogEntry(name, count, first, last, *types[name], example_of.get(name))
                for name, count, first, last in found
            ],
            more=len(rows) > page.limit,
        )


def names_total(engine: Engine, tenant: Tenant, page: CatalogPage, /) -> int:
    """How many names there are; about how many, where counting them takes more memory than allowed. Raises as `Engine.ask`."""
    try:
        return engine.rows(queries.names_total(tenant, page))[0][0]
    except NeedsMoreMemory:
        return engine.rows(queries.names_total(tenant, page, exact=False))[0][0]


def _types(
    strings: list[str], numbers: list[str], others: list[str]
) -> tuple[list[tuple[str, list[PropertyType]]], bool]:
    """Each key with its types, sorted, and whether there are more than are kept."""
    found: dict[str, set[PropertyType]] = {}
    for letter, keys in (("s", strings), ("i", numbers)):
        for key in keys:
            found.setdefault(key[:MAX_PROPERTY_CHARS], set()).add(queries.PROPERTY_LETTERS[letter])
    for other in others:
        found.setdefault(other[1:][:MAX_PROPERTY_CHARS], set()).add(queries.PROPERTY_LETTERS[other[0]])
    truncated = max(len(found), len(strings), len(numbers), len(others)) > MAX_CATALOG_PROPERTIES
    keys = sorted(found)[:MAX_CATALOG_PROPERTIES]
    return [(key, [kind for kind in PROPERTY_TYPES if kind in found[key]]) for key in keys], truncated
