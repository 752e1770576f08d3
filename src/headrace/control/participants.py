"""The numbers by which all other tables of the reactions refer to participants."""

from collections.abc import Iterable, Sequence
from typing import TypeVar

import sqlalchemy as sa

from headrace.control.bulk import execute_many
from headrace.control.database import insert
from headrace.control.tables.scores import participants
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


def give_numbers(connection: sa.Connection, tenant: Tenant, names: Iterable[str]) -> dict[str, int]:
    """The numbers of participants. New participants get the next numbers."""
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
