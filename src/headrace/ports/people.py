"""People and groups in control. Everything raises ControlFailed."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.people_state import PeopleNeeds, PeopleState
from headrace.model.person import Contact, Group, GroupKey, Member, Person, SeenGroup


class People(Protocol):
    """Queries of people, always of one tenant. Any thread may call it."""

    def person_of(self, tenant: Tenant, id: str, /) -> Person | None:  # noqa: A002
        """The person with an id; None if no event has said anything about the id."""
        ...

    def ids_of(self, tenant: Tenant, id: str, /) -> Sequence[str]:  # noqa: A002
        """Every id of the person with an id, the main one first; empty for an unknown id."""
        ...

    def listed(self, tenant: Tenant, search: str, before: int | None, limit: int, /) -> list[tuple[int, Person]]:
        """People, most recently created first, each with its number. before: only people with smaller numbers.

        search: the beginning of an id or, ignoring case, of one of the traits in `SEARCHED`; "" for everybody.
        """
        ...

    def group(self, tenant: Tenant, group: GroupKey, /) -> Group | None: ...


class Contacts(Protocol):
    """People as contacts, without deleted ones. Read-only; always of one tenant."""

    def find(self, tenant: Tenant, ids: Sequence[str], email: str, /) -> list[Contact]:
        """Up to 100 contacts with one of the ids or, unless it is "", with this trait `email`."""
        ...

    def numbered(self, tenant: Tenant, number: int, /) -> Contact | None:
        """The contact one of whose ids has the number."""
        ...


class ContactGroups(Protocol):
    """Groups and their members as contacts, without deleted ones. Read-only; always of one tenant."""

    def groups(self, tenant: Tenant, kind: str, limit: int, offset: int, /) -> list[SeenGroup]:
        """Groups of a type ("": of every type), most recently mentioned first."""
        ...

    def group(self, tenant: Tenant, group: GroupKey, /) -> SeenGroup | None: ...

    def members(self, tenant: Tenant, group: GroupKey, limit: int, offset: int, /) -> list[Member]:
        """A group's members, most recently joined first."""
        ...

    def joined_ms(self, tenant: Tenant, group: GroupKey, contact: Contact, /) -> int:
        """When a contact joined a group; 0 if it is not a member."""
        ...


class PeopleStates(Protocol):
    """What events have said about people. One writer per tenant at a time, which saves it along with the reactions."""

    def load(self, tenant: Tenant, needs: PeopleNeeds, /, *, joins: bool = False) -> PeopleState:
        """The state of some ids, of the whole people of some ids, and of some groups.

        joins: also load why the ids of those people are one person, so that it can be undone.
        """
        ...

    def save(self, transaction: object, tenant: Tenant, state: PeopleState, /) -> None:
        """Save what is new in a loaded state, within the transaction that saves the tenant's reactions."""
        ...
