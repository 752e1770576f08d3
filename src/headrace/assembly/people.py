"""What those who talk to a server may ask of people: each question once what was said of them before it is known."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from headrace.control.contacts import ControlContacts
from headrace.control.people import ControlPeople
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.model.filters import Events, Filters, Observed, Page
from headrace.model.person import Contact, Group, GroupKey, Member, Person, SeenGroup
from headrace.pipeline.freshness import Freshness
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.queries import QuerySlots
from headrace.pipeline.statement_watch import StatementWatch
from headrace.ports.control import ControlFailed

MAX_NAMES = 1000
Answer = TypeVar("Answer")


class PeopleFreshness:
    """Waits until what was said of a tenant's people is known."""

    def __init__(self, freshness: Freshness, watch: StatementWatch, last: Callable[[], int]) -> None:
        """last: the position of the last acknowledged event."""
        self._freshness = freshness
        self._watch = watch
        self._last = last
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Call from the event loop that the waiters run on."""
        self._loop = asyncio.get_running_loop()

    async def known(self, tenant: Tenant, /) -> None:
        """Wait for what was said before now; for nothing where nothing was. Raises Unavailable."""
        await self._freshness.reacted_upto(tenant, min(self._watch.latest(tenant), self._last()))

    def wait(self, tenant: Tenant, /) -> None:
        """As `known`, for a thread that is not the event loop's."""
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.known(tenant), self._loop).result()


def whole_person(people: ControlPeople, freshness: PeopleFreshness, /) -> Callable[[Tenant, str], Sequence[str]]:
    """For the store's readers: every id of the person of an id, none for nobody's. Raises Unavailable."""

    def ids_of(tenant: Tenant, id_: str) -> Sequence[str]:
        freshness.wait(tenant)
        try:
            return people.ids_of(tenant, id_)
        except ControlFailed as error:
            raise Unavailable("The control database is not responding.") from error

    return ids_of


class Directory:
    """What both directories have. Raises Unavailable."""

    def __init__(self, freshness: PeopleFreshness, queries: QuerySlots) -> None:
        self._freshness = freshness
        self._queries = queries

    async def seen(self, tenant: Tenant, ids: Sequence[str], /) -> Mapping[str, Observed]:
        """By id: what events it has."""
        if not ids:
            return {}
        return {each.value: each for each in await self._queries.ask(lambda reader: reader.seen_by_id(tenant, ids))}

    async def _ask(self, tenant: Tenant, question: Callable[[], Answer]) -> Answer:
        await self._freshness.known(tenant)
        try:
            return await asyncio.to_thread(question)
        except ControlFailed as error:
            raise Unavailable("The control database is not responding.") from error


class PeopleDirectory(Directory):
    """People, groups and their events. Raises Unavailable, NotFound."""

    def __init__(
        self, people: ControlPeople, admin: PeopleAdmin, freshness: PeopleFreshness, queries: QuerySlots
    ) -> None:
        super().__init__(freshness, queries)
        self._people = people
        self._admin = admin

    async def one(self, tenant: Tenant, user_id: str, /) -> Person | None:
        """The person of an id; None where no event has said anything about it."""
        return await self._ask(tenant, lambda: self._people.person_of(tenant, user_id))

    async def listed(
        self, tenant: Tenant, search: str, before: int | None, limit: int, /
    ) -> tuple[list[tuple[int, Person]], Mapping[str, Observed]]:
        """So many people, the newest first, each with its number; and by id what events they have."""
        found = await self._ask(tenant, lambda: self._people.listed(tenant, search, before, limit))
        return found, await self.seen(tenant, [each for _, person in found for each in person.ids])

    async def names(self, tenant: Tenant, ids: Sequence[str], /) -> list[Observed]:
        """The most frequent names of the ids' events."""
        return await self._queries.ask(lambda reader: reader.seen_by_name(tenant, ids, MAX_NAMES))

    async def events(self, tenant: Tenant, ids: Sequence[str], page: Page, /) -> Events:
        """The ids' events, newest first."""
        return await self._queries.ask(lambda reader: reader.events(tenant, Filters(people=ids), page))

    async def group(self, tenant: Tenant, group: GroupKey, /) -> Group | None:
        return await self._ask(tenant, lambda: self._people.group(tenant, group))

    async def part(self, tenant: Tenant, one: str, other: str, /) -> tuple[Person, Person]:
        """Undo what made two ids one person; both persons then."""
        return await self._ask(tenant, lambda: self._admin.part(tenant, one, other))


class ContactDirectory(Directory):
    """People and groups as contacts. Raises Unavailable."""

    def __init__(self, contacts: ControlContacts, freshness: PeopleFreshness, queries: QuerySlots) -> None:
        super().__init__(freshness, queries)
        self._contacts = contacts

    async def find(self, tenant: Tenant, ids: Sequence[str], email: str, /) -> list[Contact]:
        """Those with one of the ids, or the email."""
        return await self._ask(tenant, lambda: self._contacts.find(tenant, ids, email))

    async def numbered(self, tenant: Tenant, number: int, /) -> Contact | None:
        return await self._ask(tenant, lambda: self._contacts.numbered(tenant, number))

    async def groups(self, tenant: Tenant, kind: str, limit: int, offset: int, /) -> list[SeenGroup]:
        """Those spoken of last first; of every type where `kind` is ""."""
        return await self._ask(tenant, lambda: self._contacts.groups(tenant, kind, limit, offset))

    async def group(self, tenant: Tenant, group: GroupKey, /) -> SeenGroup | None:
        return await self._ask(tenant, lambda: self._contacts.group(tenant, group))

    async def members(self, tenant: Tenant, group: GroupKey, limit: int, offset: int, /) -> list[Member]:
        """Those who joined last first."""
        return await self._ask(tenant, lambda: self._contacts.members(tenant, group, limit, offset))

    async def joined_ms(self, tenant: Tenant, group: GroupKey, contact: Contact, /) -> int:
        """Since when a contact is in a group; 0 where it is not."""
        return await self._ask(tenant, lambda: self._contacts.joined_ms(tenant, group, contact))
