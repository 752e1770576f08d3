"""People and groups as control keeps them. Everything raises ControlFailed."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.people_state import PeopleNeeds, PeopleState
from headrace.model.person import Contact, Group, GroupKey, Member, Person, SeenGroup


class People(Protocol):
    """Who people are, for those who ask. Always of one tenant; changes nothing. Any thread may call it."""

    def person_of(self, tenant: Tenant, id: str, /) -> Person | None:  # noqa: A002
        """The person of an id; None where no event has said anything about it."""
        ...

    def ids_of(self, tenant: Tenant, id: str, /) -> Sequence[str]:  # noqa: A002
        """Every id of an id's person, the one that the person goes by first; none for an unknown one."""
        ...

    def listed(self, tenant: Tenant, search: str, before: int | None, limit: int, /) -> list[tuple[int, Person]]:
        """So many people, those that came last first, each with a number to go on from: before it the next ones come.

        search: what one of their ids begins with or, in any case, one of the traits in `SEARCHED`; "" for everybody.
        """
        ...

    def group(self, tenant: Tenant, group: GroupKey, /) -> Group | None: ...


class Contacts(Protocol):
    """People and groups as contacts, without those that were deleted. Always of one tenant; changes nothing."""

    def find(self, tenant: Tenant, ids: Sequence[str], email: str, /) -> list[Contact]:
        """Those with one of the ids or, unless it is "", with the trait `email`; 100 at most."""
        ...

    def numbered(self, tenant: Tenant, number: int, /) -> Contact | None:
        """The contact one of whose ids has the number."""
        ...

    def groups(self, tenant: Tenant, kind: str, limit: int, offset: int, /) -> list[SeenGroup]:
        """Groups of a type, or of every type where it is "", those spoken of last first."""
        ...

    def group(self, tenant: Tenant, group: GroupKey, /) -> SeenGroup | None: ...

    def members(self, tenant: Tenant, group: GroupKey, limit: int, offset: int, /) -> list[Member]:
        """Who is in a group, those who joined last first."""
        ...

    def joined_ms(self, tenant: Tenant, group: GroupKey, contact: Contact, /) -> int:
        """Since when a contact is in a group; 0 where it is not."""
        ...


class PeopleStates(Protocol):
    """What the statements of events have come to: for one writer of a tenant at a time, who saves it with the reactions."""

    def load(self, tenant: Tenant, needs: PeopleNeeds, /, *, joins: bool = False) -> PeopleState:
        """What is remembered of some ids, the whole persons of some, and some groups.

        joins: also what joined the ids of those persons, to undo it.
        """
        ...

    def save(self, transaction: object, tenant: Tenant, state: PeopleState, /) -> None:
        """Keep what is new in a loaded state, within the transaction that saves the tenant's reactions."""
        ...
