"""Who is one person, as far as the store has been told. Readers put it into filters, and into the counting of people."""

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import msgspec

from headrace.model.conditions import Condition
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.store.merged import Merged, MergedEditions

IdsOf: TypeAlias = Callable[[Tenant, str], Sequence[str]]
"""Every id of the person with an id, empty if there is none. Called in the reader's thread; may raise Unavailable."""


class KnownPeople:
    """What readers of one store share. Until it is told, each id is somebody, and nobody has two."""

    def __init__(self) -> None:
        self.ids_of: IdsOf | None = None
        self.editions: MergedEditions | None = None

    def meant(self, tenant: Tenant, filters: Filters, /) -> Filters:
        """The filters with every id of a person in place of one, in the conditions too. Raises Unavailable."""
        if self.ids_of is None:
            return filters
        if filters.person is not None and (ids := self.ids_of(tenant, filters.person)):
            filters = msgspec.structs.replace(filters, person=None, people=ids)
        if not any(each.field.kind == "person" for each in filters.conditions):
            return filters
        conditions = [_with_all_ids(tenant, each, self.ids_of) for each in filters.conditions]
        return msgspec.structs.replace(filters, conditions=conditions)

    @contextmanager
    def merged(self, tenant: Tenant, /, *, needed: bool = True) -> Generator[Merged]:
        """Within it, the store has the tenant's merged ids, if they are `needed`. Raises Unavailable."""
        if self.editions is None or not needed:
            yield Merged(None)
            return
        with self.editions.using(tenant) as merged:
            yield merged

    def forget_merged(self, tenant: Tenant, /) -> None:
        """Let go of a tenant's merged ids: somebody was erased. Raises Unavailable."""
        if self.editions is not None:
            self.editions.forget(tenant)


def _with_all_ids(tenant: Tenant, condition: Condition, ids_of: IdsOf) -> Condition:
    if condition.field.kind != "person" or condition.op == "exists":
        return condition
    ids = [id_ for each in condition.values for id_ in (ids_of(tenant, str(each)) or [str(each)])]
    return msgspec.structs.replace(condition, values=list(dict.fromkeys(ids)))
