"""Applies statements to the state of people. Pure. Statements are applied in log order, each once.

- identify joins anonymous ids to a user. It never joins two known users: a shared device must not merge two people for good.
An anonymous id stays with the first user it was joined to.
- alias joins any two ids, because the client asked for it. Either kind of join can be undone. Afterwards, identify does not
join the same ids again, but an alias does.
- A placeholder (`null`, `undefined`, `0`, ...) is nobody's id: it joins nothing and has no traits.
"""

from collections.abc import Iterable
from itertools import chain

import msgspec

from headrace.model.people_state import PeopleNeeds, PeopleState
from headrace.model.person import MAX_IDS, Join, JoinKind, Statement
from headrace.people import identity, traits

Placeholders = frozenset[str]


def placeholders_of(text: str, /) -> Placeholders:
    """The placeholders in a setting: comma-separated ids, in any case."""
    return frozenset(each.strip().casefold() for each in text.split(",") if each.strip())


def cleared(statement: Statement, placeholders: Placeholders, /) -> Statement | None:
    """The statement without placeholders; None if nothing is left of it."""

    def real(id: str) -> str:  # noqa: A002
        return "" if id.strip().casefold() in placeholders else id

    user_id, previous_id = real(statement.user_id), real(statement.previous_id)
    anonymous_ids = tuple(
        dict.fromkeys(each for each in map(real, statement.anonymous_ids) if each and each != user_id)
    )
    joins = statement.joins
    owner = user_id or next(iter(anonymous_ids), "")
    is_about_user = bool(statement.user_id)
    if (is_about_user and not user_id) or (joins == "alias" and not previous_id):
        # It is unknown who is meant, and an anonymous id must not get what was said about somebody else.
        joins, owner, user_id, anonymous_ids, previous_id = None, "", "", (), ""
    statement = msgspec.structs.replace(
        statement,
        user_id=user_id,
        anonymous_ids=anonymous_ids,
        previous_id=previous_id,
        joins=joins,
        ops=statement.ops if owner else (),
        groups=statement.groups if owner else (),
        left=statement.left if owner else (),
    )
    return statement if owner or statement.group else None


def needs(statements: Iterable[Statement], /) -> PeopleNeeds:
    """The state that is needed to apply some statements."""
    found = PeopleNeeds(set(), set(), set())
    for each in statements:
        found.ids.update(each.ids)
        found.groups.update(each.groups, each.left)
        if each.group:
            found.groups.add(each.group)
        if each.joins or each.left:
            found.persons.update(each.ids)
    return found


def apply(state: PeopleState, statement: Statement, at_ms: int, position: int, /) -> list[Join]:
    """Apply a statement to the state. Returns the joins that it makes."""
    if statement.user_id:
        _know(state, statement.user_id)
    if owner := statement.owner:
        held = state.held(owner)
        if statement.ops:
            before = held.cells or {}
            held.cells, dropped = traits.changed(before, statement.ops, at_ms, position)
            state.dropped += dropped
            if held.cells != before:
                state.before.setdefault(owner, before)
                state.changed_ids.add(owner)
        for group in statement.groups:
            state.left_members.discard((owner, group))
            state.new_members.setdefault((owner, group), at_ms)
        for group in statement.left:
            for each in state.of_person(held.person):
                state.new_members.pop((each.id, group), None)
                state.left_members.add((each.id, group))
    for group in chain(statement.groups, [statement.group] if statement.group else []):
        cells = state.groups.setdefault(group, {})
        first, last = state.group_times.get(group, (at_ms, at_ms))
        times = min(first, at_ms), max(last, at_ms)
        if state.group_times.get(group) != times:
            state.groups[group], state.group_times[group] = cells, times
            state.changed_groups.add(group)
    if statement.group and statement.group_ops:
        before = state.groups[statement.group]
        after, dropped = traits.changed(before, statement.group_ops, at_ms, position)
        state.dropped += dropped
        if after != before:
            state.groups[statement.group] = after
            state.changed_groups.add(statement.group)
    return _join(state, statement, position)


def part(state: PeopleState, one: str, other: str, /) -> bool:
    """Undo the merge of two ids, whose whole people are loaded. Returns False if they are not one person."""
    join = identity.join_between(state.joins, one, other)
    if join is None:
        return False
    state.joins.remove(join)
    state.undone.append(join)
    person = state.ids[one].person
    ids = [each.id for each in state.of_person(person)]
    for each, now in identity.persons_of(ids, state.joins).items():
        state.move([state.ids[each]], now)
    return True


def _know(state: PeopleState, user_id: str) -> None:
    held = state.held(user_id)
    if not held.known:
        held.known = True
        state.moved_ids.add(user_id)


def _join(state: PeopleState, statement: Statement, position: int) -> list[Join]:
    if statement.joins == "alias":
        pairs = [(statement.owner, statement.previous_id)]
    elif statement.joins == "identify" and statement.user_id:
        pairs = [(statement.user_id, each) for each in statement.anonymous_ids]
    else:
        return []
    made: list[Join] = []
    for kept, other in pairs:
        if (join := _joined(state, kept, other, statement.joins, position)) is not None:
            made.append(join)
    return made


def _joined(state: PeopleState, kept: str, other: str, by: JoinKind, position: int) -> Join | None:
    one, two = state.held(kept), state.held(other)
    if one.person == two.person:
        return None
    ours, theirs = state.of_person(one.person), state.of_person(two.person)
    if by == "identify" and (any(each.known for each in theirs) or (kept, other) in state.parted):
        return None
    if len(ours) + len(theirs) > MAX_IDS:
        state.refused += 1
        return None
    join = Join(kept, other, by, position)
    state.move(theirs, one.person)
    state.new_joins.append(join)
    state.joins.append(join)
    state.parted.discard((kept, other))
    return join
