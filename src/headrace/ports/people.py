"""People and groups as control keeps them. Everything raises ControlFailed."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.event import Tenant
from headrace.model.people_state import PeopleNeeds, PeopleState
from headrace.model.person import Group, GroupKey, Person


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
