"""The number that stands for an id in every other table of the reactions, and the participant that its person is.

An id gets a number once the reactions have something of it. The ids of one person that have numbers point to that of the id that
the person goes by, which then has one, too.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import sqlalchemy as sa

from headrace.control.bulk import execute_many
from headrace.control.database import insert
from headrace.control.tables.people import person_ids
from headrace.control.tables.scores import awards, participants, shares, standings
from headrace.model.event import Tenant

_AT_ONCE = 500  # values in one IN list: SQLite takes 32,766, and a short list keeps statements cached
_Value = TypeVar("_Value", str, int)


def numbers_of(connection: sa.Connection, tenant: Tenant, names: Sequence[str]) -> dict[str, int]:
    """The numbers of the participants that have one."""
    own = (participants.c.project == tenant.project, participants.c.mode == tenant.mode)
    found: dict[str, int] = {}
    for some in in_slices(list(names)):
        asked = sa.select(participants.c.name, participants.c.no).where(*own, participants.c.name.in_(some))
        found |= {row.name: row.no for row in connection.execute(asked)}
    return found


class Places:
    """Where the reactions keep what they have of some ids, and of all others that are one person with them."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.wholes: dict[str, int] = {}  # of those that are or were one of several: the number of their person's
        self.participants: dict[str, str] = {}  # by id of a person who has several: the id that the person goes by
        self.ids: dict[str, tuple[str, ...]] = {}  # by the latter: all of them that have numbers or were asked for


def places_of(connection: sa.Connection, tenant: Tenant, names: Iterable[str]) -> Places:
    """Ids that the reactions have nothing of yet belong to their persons as statements have joined them."""
    places = Places()
    wanted = sorted(set(names))
    _find(connection, tenant, wanted, places)
    new = [each for each in wanted if each not in places.numbers]
    goes_by = _persons_of(connection, tenant, new) if new else {}
    _find(connection, tenant, sorted(set(goes_by.values()) - places.numbers.keys()), places)
    members: dict[int, list[str]] = {}
    for some in in_slices(sorted(set(places.wholes.values()))):
        asked = sa.select(participants.c.no, participants.c.name, participants.c.whole_no)
        for row in connection.execute(asked.where(participants.c.whole_no.in_(some)).order_by(participants.c.no)):
            places.numbers[row.name], places.wholes[row.name] = row.no, row.whole_no
            members.setdefault(row.whole_no, []).append(row.name)
    persons: dict[str, list[str]] = {}
    for whole, ids in members.items():
        first = next(each for each in ids if places.numbers[each] == whole)
        persons[first] = [first, *(each for each in ids if each != first)]
    for name, first in goes_by.items():
        persons.setdefault(first, [first]).append(name)
    for first, ids in persons.items():
        if len(ids) > 1:
            places.ids[first] = tuple(ids)
            places.participants |= dict.fromkeys(ids, first)
    return places


def _find(connection: sa.Connection, tenant: Tenant, names: Sequence[str], places: Places) -> None:
    own = (participants.c.project == tenant.project, participants.c.mode == tenant.mode)
    for some in in_slices(list(names)):
        asked = sa.select(participants.c.no, participants.c.name, participants.c.whole_no)
        for row in connection.execute(asked.where(*own, participants.c.name.in_(some))):
            places.numbers[row.name] = row.no
            if row.whole_no is not None:
                places.wholes[row.name] = row.whole_no


def _persons_of(connection: sa.Connection, tenant: Tenant, names: Sequence[str]) -> dict[str, str]:
    """By id that a statement has joined to another: the one that the person goes by."""
    own = (person_ids.c.project == tenant.project, person_ids.c.mode == tenant.mode)
    if connection.scalar(sa.select(sa.literal(1)).where(*own).limit(1)) is None:
        return {}
    found: dict[str, str] = {}
    first = person_ids.alias()
    for some in in_slices(list(names)):
        asked = (
            sa.select(person_ids.c.id, first.c.id.label("first"))
            .join(first, first.c.no == person_ids.c.person_no)
            .where(*own, person_ids.c.id.in_(some), person_ids.c.person_no != person_ids.c.no)
        )
        found |= {row.id: row.first for row in connection.execute(asked)}
    return found


def whole_of(connection: sa.Connection, tenant: Tenant, name: str) -> tuple[str, list[int]]:
    """The id that the person of an id goes by, and the numbers of all ids of the person that have one."""
    places = places_of(connection, tenant, [name])
    whole = places.participants.get(name, name)
    ids = places.ids.get(whole, (whole,))
    return whole, sorted(places.numbers[each] for each in ids if each in places.numbers)


def is_whole() -> sa.ColumnElement[bool]:
    """Whether a row of participants is one that somebody goes by."""
    return sa.or_(participants.c.whole_no.is_(None), participants.c.whole_no == participants.c.no)


def enrol(
    connection: sa.Connection, tenant: Tenant, names: Iterable[str], goes_by: Mapping[str, str]
) -> dict[str, int]:
    """The number of each id and of those that their persons go by, to which they point then. goes_by: see State."""
    wanted = set(names)
    numbers = give_numbers(connection, tenant, wanted | {goes_by[each] for each in wanted if each in goes_by})
    wholes = {numbers[each]: numbers[goes_by[each]] for each in numbers if each in goes_by}
    point_to(connection, wholes)
    return numbers


def point_to(connection: sa.Connection, wholes: Mapping[int, int]) -> None:
    """Have ids, by number, belong to persons. Of those that were by themselves until now, all that they have is their share."""
    for some in in_slices(sorted(wholes)):
        asked = sa.select(participants.c.no, participants.c.whole_no).where(participants.c.no.in_(some))
        held = {row.no: row.whole_no for row in connection.execute(asked)}
        moved = [{"b_no": no, "whole_no": wholes[no]} for no, before in held.items() if before != wholes[no]]
        if moved:
            update = sa.update(participants).where(participants.c.no == sa.bindparam("b_no"))
            connection.execute(update.values(whole_no=sa.bindparam("whole_no")), moved)
        if alone := [no for no, before in held.items() if before is None]:
            _keep_shares(connection, alone)


def _keep_shares(connection: sa.Connection, numbers: Sequence[int]) -> None:
    nothing = sa.literal(0)
    completed = sa.select(standings.c.participant_no, standings.c.rule_no, standings.c.completions, nothing).where(
        standings.c.participant_no.in_(numbers), standings.c.completions > 0
    )
    held = sa.select(awards.c.participant_no, awards.c.rule_no, sa.literal(1), nothing).where(
        awards.c.participant_no.in_(numbers)
    )
    for asked in (completed, held):
        new = insert(connection, shares).from_select([column.name for column in shares.columns], asked)
        connection.execute(new.on_conflict_do_nothing())


def give_numbers(connection: sa.Connection, tenant: Tenant, names: Iterable[str]) -> dict[str, int]:
    """The number of each id; new ones get the next numbers."""
    names = sorted(names)
    found = numbers_of(connection, tenant, names)
    if new := [name for name in names if name not in found]:
        rows = [{"project": tenant.project, "mode": tenant.mode, "name": name} for name in new]
        execute_many(connection, insert(connection, participants).on_conflict_do_nothing(), rows)
        found |= numbers_of(connection, tenant, new)
    return found


def in_slices(values: Sequence[_Value]) -> list[Sequence[_Value]]:
    """The values in parts that are short enough for one IN list."""
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]
