"""Waits until what events said about people is known."""

import asyncio
from collections.abc import Callable, Iterator, Sequence

from headrace.control.merged_ids import ControlMergedIds
from headrace.control.people import ControlPeople
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.pipeline.freshness import Freshness
from headrace.pipeline.statement_watch import StatementWatch
from headrace.ports.control import ControlFailed


class PeopleFreshness:
    """Waits until what acknowledged events said about a tenant's people is known."""

    def __init__(self, freshness: Freshness, watch: StatementWatch) -> None:
        self._freshness = freshness
        self._watch = watch
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Call from the event loop that the waiters run on."""
        self._loop = asyncio.get_running_loop()

    async def known(self, tenant: Tenant, /) -> None:
        """Wait for everything said before now; returns at once if nothing is outstanding. Raises Unavailable."""
        await self._freshness.known(tenant, self._watch.latest)

    def wait(self, tenant: Tenant, /) -> None:
        """Like `known`, for threads other than the event loop's."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.known(tenant), self._loop).result()


def whole_person(people: ControlPeople, freshness: PeopleFreshness, /) -> Callable[[Tenant, str], Sequence[str]]:
    """For the store's readers: returns every id of the person with an id, empty if there is none. Raises Unavailable."""

    def ids_of(tenant: Tenant, id_: str) -> Sequence[str]:
        freshness.wait(tenant)
        try:
            return people.ids_of(tenant, id_)
        except ControlFailed as error:
            raise Unavailable("The control database is not responding.") from error

    return ids_of


def merged_ids(
    merged: ControlMergedIds, freshness: PeopleFreshness, /
) -> Callable[[Tenant], Iterator[Sequence[tuple[str, str]]]]:
    """For the store's readers: the ids that go by another one of their person, with that one, by id. Raises Unavailable."""

    def pages(tenant: Tenant) -> Iterator[Sequence[tuple[str, str]]]:
        freshness.wait(tenant)
        try:
            yield from merged.pages(tenant)
        except ControlFailed as error:
            raise Unavailable("The control database is not responding.") from error

    return pages
