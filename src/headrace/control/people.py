"""Queries of people, always of one tenant."""

from collections.abc import Sequence

import sqlalchemy as sa

from headrace.control.database import reading
from headrace.control.people_search import matching, newest
from headrace.control.people_states import cells_of, of_tenant, slices
from headrace.control.tables.people import group_members, person_groups, person_ids
from headrace.model.event import Tenant
from headrace.model.person import Cells, Group, GroupKey, Person
from headrace.people.traits import merged, shown


class ControlPeople:
    """Fits the People port. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def person_of(self, tenant: Tenant, id: str, /) -> Person | None:  # noqa: A002
        """See the People port."""
        with reading(self._engine) as connection:
            number = connection.scalar(_person_no(tenant, id))
            return None if number is None else persons_by_number(connection, [number])[number]

    def ids_of(self, tenant: Tenant, id: str, /) -> Sequence[str]:  # noqa: A002
        """See the People port."""
        asked = (
            sa.select(person_ids.c.id)
            .where(person_ids.c.person_no == _person_no(tenant, id).scalar_subquery())
            .order_by(person_ids.c.person_no != person_ids.c.no, person_ids.c.no)
        )
        with reading(self._engine) as connection:
            return list(connection.scalars(asked))

    def listed(self, tenant: Tenant, search: str, before: int | None, limit: int, /) -> list[tuple[int, Person]]:
        """See the People port."""
        with reading(self._engine) as connection:
            if search:
                numbers = matching(connection, tenant, search, before, limit)
            else:
                numbers = newest(connection, tenant, before, limit)
            found = persons_by_number(connection, numbers)
        return [(number, found[number]) for number in numbers]

    def group(self, tenant: Tenant, group: GroupKey, /) -> Group | None:
        """See the People port."""
        asked = sa.select(person_groups.c.no, person_groups.c.traits).where(
            person_groups.c.project == tenant.project,
            person_groups.c.mode == tenant.mode,
            person_groups.c.type == group.type,
            person_groups.c.key == group.key,
        )
        with reading(self._engine) as connection:
            row = connection.execute(asked).first()
            if row is None:
                return None
            users = (
                sa.select(sa.func.count(sa.distinct(person_ids.c.person_no)))
                .join(group_members, group_members.c.id_no == person_ids.c.no)
                .where(group_members.c.group_no == row.no)
            )
            return Group(group.type, group.key, shown(cells_of(row.traits)), connection.scalar(users) or 0)


def _person_no(tenant: Tenant, id: str) -> "sa.Select[int]":  # noqa: A002
    return sa.select(person_ids.c.person_no).where(*of_tenant(tenant), person_ids.c.id == id)


def persons_by_number(connection: sa.Connection, numbers: Sequence[int], /) -> dict[int, Person]:
    """People by number."""
    ids: dict[int, list[str]] = {number: [] for number in numbers}
    cells: dict[int, list[Cells]] = {number: [] for number in numbers}
    groups: dict[int, list[GroupKey]] = {number: [] for number in numbers}
    for some in slices(sorted(numbers)):
        # The main id first, then in the order in which they were first seen.
        own_first = (person_ids.c.person_no != person_ids.c.no, person_ids.c.no)
        asked = sa.select(person_ids.c.person_no, person_ids.c.id, person_ids.c.traits)
        for row in connection.execute(asked.where(person_ids.c.person_no.in_(some)).order_by(*own_first)):
            ids[row.person_no].append(row.id)
            cells[row.person_no].append(cells_of(row.traits))
        belonging = (
            sa.select(person_ids.c.person_no, person_groups.c.type, person_groups.c.key)
            .join(group_members, group_members.c.id_no == person_ids.c.no)
            .join(person_groups, person_groups.c.no == group_members.c.group_no)
            .where(person_ids.c.person_no.in_(some))
            .distinct()
            .order_by(person_groups.c.type, person_groups.c.key)
        )
        for row in connection.execute(belonging):
            groups[row.person_no].append(GroupKey(row.type, row.key))
    return {
        number: Person(ids[number][0], ids[number], shown(merged(cells[number])), groups[number])
        for number in numbers
        if ids[number]
    }
