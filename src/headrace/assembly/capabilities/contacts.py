"""People and groups as contacts of the Hogsend dialect."""

from collections.abc import Sequence

from headrace.assembly.capabilities.people import Directory
from headrace.assembly.people_freshness import PeopleFreshness
from headrace.control.contacts import ControlContacts
from headrace.model.event import Tenant
from headrace.model.person import Contact, GroupKey, Member, SeenGroup
from headrace.pipeline.queries import QuerySlots


class ContactDirectory(Directory):
    """People and groups as contacts. Raises Unavailable."""

    def __init__(self, contacts: ControlContacts, freshness: PeopleFreshness, queries: QuerySlots) -> None:
        super().__init__(freshness, queries)
        self._contacts = contacts

    async def find(self, tenant: Tenant, ids: Sequence[str], email: str, /) -> list[Contact]:
        """The contacts with one of the ids or with the email."""
        return await self._ask(tenant, lambda: self._contacts.find(tenant, ids, email))

    async def numbered(self, tenant: Tenant, number: int, /) -> Contact | None:
        return await self._ask(tenant, lambda: self._contacts.numbered(tenant, number))

    async def groups(self, tenant: Tenant, kind: str, limit: int, offset: int, /) -> list[SeenGroup]:
        """Groups, most recently mentioned first; of every type if `kind` is ""."""
        return await self._ask(tenant, lambda: self._contacts.groups(tenant, kind, limit, offset))

    async def group(self, tenant: Tenant, group: GroupKey, /) -> SeenGroup | None:
        return await self._ask(tenant, lambda: self._contacts.group(tenant, group))

    async def members(self, tenant: Tenant, group: GroupKey, limit: int, offset: int, /) -> list[Member]:
        """Members, most recently joined first."""
        return await self._ask(tenant, lambda: self._contacts.members(tenant, group, limit, offset))

    async def joined_ms(self, tenant: Tenant, group: GroupKey, contact: Contact, /) -> int:
        """When a contact joined a group; 0 if it is not a member."""
        return await self._ask(tenant, lambda: self._contacts.joined_ms(tenant, group, contact))
