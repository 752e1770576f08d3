"""Queries of people and groups as contacts: by number, by email, and page by page. Always of one tenant."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from headrace.control.database import reading
from headrace.control.people import persons_by_number
from headrace.control.people_states import cells_of, of_tenant, term_of
from headrace.control.tables.people import group_members, person_groups, person_ids, person_terms
from headrace.model.event import Tenant
from headrace.model.person import Contact, GroupKey, Member, SeenGroup
from headrace.people.traits import shown

_MOST = 100
DELETED = "$deleted"  # the trait of deleted contacts


class ControlContacts:
    """Fits the Contacts and ContactGroups ports. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def find(self, tenant: Tenant, ids: Sequence[str], email: str, /) -> list[Contact]:
        """See the Contacts port."""
        by_id = sa.select(person_ids.c.person_no).where(*of_tenant(tenant), person_ids.c.id.in_(ids))
        by_email = (
            sa.select(person_ids.c.person_no)
            .join(person_terms, person_terms.c.id_no == person_ids.c.no)
            .where(
                person_terms.c.project == tenant.project,
                person_terms.c.mode == tenant.mode,
                person_terms.c.term == term_of(email),
            )
        )
        with reading(self._engine) as connection:
            numbers = set(connection.scalars(by_id))
            if email:
                numbers |= set(connection.scalars(by_email.limit(_MOST)))
            found = _contacts(connection, sorted(numbers)[:_MOST])
        return [each for each in found if not email or each.person.traits.get("email") == email or each.is_named(ids)]

    def numbered(self, tenant: Tenant, number: int, /) -> Contact | None:
        """See the Contacts port."""
        asked = sa.select(person_ids.c.person_no).where(*of_tenant(tenant), person_ids.c.no == number)
        with reading(self._engine) as connection:
            person_no = connection.scalar(asked)
            return next(iter(_contacts(connection, [person_no])), None) if person_no is not None else None

    def groups(self, tenant: Tenant, kind: str, limit: int, offset: int, /) -> list[SeenGroup]:
        """See the ContactGroups port."""
        asked = sa.select(person_groups).where(*_of_groups(tenant))
        if kind:
            asked = asked.where(person_groups.c.type == kind)
        newest = asked.order_by(person_groups.c.last_ms.desc(), person_groups.c.no.desc()).limit(limit).offset(offset)
        with reading(self._engine) as connection:
            return [_seen(row) for row in connection.execute(newest)]

    def group(self, tenant: Tenant, group: GroupKey, /) -> SeenGroup | None:
        """See the ContactGroups port."""
        asked = sa.select(person_groups).where(
            *_of_groups(tenant), person_groups.c.type == group.type, person_groups.c.key == group.key
        )
        with reading(self._engine) as connection:
            row = connection.execute(asked).first()
        return None if row is None else _seen(row)

    def joined_ms(self, tenant: Tenant, group: GroupKey, contact: Contact, /) -> int:
        """See the ContactGroups port."""
        asked = (
            sa.select(sa.func.min(group_members.c.joined_ms))
            .join(person_ids, person_ids.c.no == group_members.c.id_no)
            .join(person_groups, person_groups.c.no == group_members.c.group_no)
            .where(*_of_groups(tenant), person_groups.c.type == group.type, person_groups.c.key == group.key)
            .where(person_ids.c.person_no == contact.person_no)
        )
        with reading(self._engine) as connection:
            return connection.scalar(asked) or 0

    def members(self, tenant: Tenant, group: GroupKey, limit: int, offset: int, /) -> list[Member]:
        """See the ContactGroups port."""
        joined = sa.func.min(group_members.c.joined_ms)
        asked = (
            sa.select(person_ids.c.person_no, joined)
            .join(group_members, group_members.c.id_no == person_ids.c.no)
            .join(person_groups, person_groups.c.no == group_members.c.group_no)
            .where(*_of_groups(tenant), person_groups.c.type == group.type, person_groups.c.key == group.key)
            .group_by(person_ids.c.person_no)
            .order_by(joined.desc(), person_ids.c.person_no.desc())
            .limit(limit)
            .offset(offset)
        )
        with reading(self._engine) as connection:
            rows = [(row[0], row[1]) for row in connection.execute(asked)]
            contacts = {each.person_no: each for each in _contacts(connection, [number for number, _ in rows])}
        return [Member(contacts[number], joined_ms) for number, joined_ms in rows if number in contacts]


def _of_groups(tenant: Tenant) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return person_groups.c.project == tenant.project, person_groups.c.mode == tenant.mode


def _seen(row: sa.Row[Any]) -> SeenGroup:
    return SeenGroup(row.no, GroupKey(row.type, row.key), shown(cells_of(row.traits)), row.first_ms, row.last_ms)


def _contacts(connection: sa.Connection, numbers: Sequence[int]) -> list[Contact]:
    """The people who were not deleted."""
    people = persons_by_number(connection, numbers)
    asked = sa.select(person_ids.c.person_no, person_ids.c.no, person_ids.c.id, person_ids.c.known)
    rows = connection.execute(asked.where(person_ids.c.person_no.in_(list(people))).order_by(person_ids.c.no)).all()
    found: list[Contact] = []
    for number, person in people.items():
        own = [row for row in rows if row.person_no == number]
        known = [row.id for row in own if row.known]
        if person.traits.get(DELETED):
            continue
        user_id = person.id if person.id in known else next(iter(known), "")
        found.append(Contact(own[0].no, number, person, user_id, known))
    return found
