"""Decides which ids are one person. Pure.

Joins between ids form a forest: each id is joined to a person once, so a person with n ids has n - 1 joins. A person's main id
follows from the joins in order, so undoing a join leaves both parts as if it had never been made.
"""

from collections.abc import Iterable, Sequence

from headrace.model.person import Join


def persons_of(ids: Iterable[str], joins: Iterable[Join], /) -> dict[str, str]:
    """By id: the main id of its person, to which the others were joined."""
    person = {each: each for each in ids}
    for join in sorted(joins, key=lambda join: (join.position, join.other)):
        kept, other = person[join.kept], person[join.other]
        person = {each: kept if now == other else now for each, now in person.items()}
    return person


def join_between(joins: Sequence[Join], one: str, other: str, /) -> Join | None:
    """The join to undo so that two ids are no longer one person; None if they are not joined.

    If other ids connect them, it is the latest alias on the way, or else the latest join.
    """
    path = _path(joins, one, other)
    aliases = [each for each in path if each.by == "alias"]
    return max(aliases or path, key=lambda join: join.position, default=None)


def _path(joins: Sequence[Join], start: str, end: str) -> list[Join]:
    """The joins from one id to another; empty if they are not connected."""
    beside: dict[str, list[tuple[str, Join]]] = {}
    for join in joins:
        beside.setdefault(join.kept, []).append((join.other, join))
        beside.setdefault(join.other, []).append((join.kept, join))
    came_by: dict[str, tuple[str, Join] | None] = {start: None}
    todo = [start]
    while todo:
        here = todo.pop()
        for there, join in beside.get(here, ()):
            if there not in came_by:
                came_by[there] = (here, join)
                todo.append(there)
    path: list[Join] = []
    here = end
    while step := came_by.get(here):
        here, join = step
        path.append(join)
    return path
