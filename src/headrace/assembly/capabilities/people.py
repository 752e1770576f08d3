"""People and their groups. Every answer waits until what acknowledged events said about people is known."""

from collections.abc import Callable, Mapping, Sequence

from headrace.assembly.capabilities.asking import Answer, ask_control
from headrace.assembly.people_freshness import PeopleFreshness
from headrace.control.people import ControlPeople
from headrace.model.event import Tenant
from headrace.model.filters import Events, Filters, Observed, Page
from headrace.model.person import Group, GroupKey, Person
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.queries import QuerySlots

MAX_NAMES = 1000


class Directory:
    """What both directories share. Raises Unavailable."""

    def __init__(self, freshness: PeopleFreshness, queries: QuerySlots) -> None:
        self._freshness = freshness
        self._queries = queries

    async def seen(self, tenant: Tenant, ids: Sequence[str], /) -> Mapping[str, Observed]:
        """A summary of the events of each id that has any."""
        if not ids:
            return {}
        return {each.value: each for each in await self._queries.ask(lambda reader: reader.seen_by_id(tenant, ids))}

    async def _ask(self, tenant: Tenant, question: Callable[[], Answer]) -> Answer:
        await self._freshness.known(tenant)
        return await ask_control(question)


class PeopleDirectory(Directory):
    """People, groups and their events. Raises Unavailable, NotFound."""

    def __init__(
        self, people: ControlPeople, admin: PeopleAdmin, freshness: PeopleFreshness, queries: QuerySlots
    ) -> None:
        super().__init__(freshness, queries)
        self._people = people
        self._admin = admin

    async def one(self, tenant: Tenant, user_id: str, /) -> Person | None:
        """The person with an id; None if no event has said anything about the id."""
        return await self._ask(tenant, lambda: self._people.person_of(tenant, user_id))

    async def listed(
        self, tenant: Tenant, search: str, before: int | None, limit: int, /
    ) -> tuple[list[tuple[int, Person]], Mapping[str, Observed]]:
        """At most `limit` people, newest first, each with its number, and a summary of the events of each id."""
        found = await self._ask(tenant, lambda: self._people.listed(tenant, search, before, limit))
        return found, await self.seen(tenant, [each for _, person in found for each in person.ids])

    async def names(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        """The most frequent event names of some ids."""
        return await self._queries.ask(lambda reader: reader.seen_by_name(tenant, ids, MAX_NAMES))

    async def events(self, tenant: Tenant, ids: Sequence[str], page: Page, /) -> Events:
        """The events of some ids, newest first."""
        return await self._queries.ask(lambda reader: reader.events(tenant, Filters(people=ids), page))

    async def group(self, tenant: Tenant, group: GroupKey, /) -> Group | None:
        return await self._ask(tenant, lambda: self._people.group(tenant, group))

    async def part(self, tenant: Tenant, one: str, other: str, /) -> tuple[Person, Person]:
        """Undo the merge of two ids into one person. Returns both people as they are afterwards."""
        return await self._ask(tenant, lambda: self._admin.part(tenant, one, other))
