"""Loads the state of people, and saves it in the transaction of the reactions. Decides nothing.

Nobody else writes to the tenant's people meanwhile, because that transaction first claims the version of the tenant's reactions.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar, cast

import msgspec
import sqlalchemy as sa

from headrace.control.database import insert, reading
from headrace.control.tables.people import group_members, person_groups, person_ids, person_joins, person_terms
from headrace.model.event import Tenant
from headrace.model.people_state import HeldId, PeopleNeeds, PeopleState
from headrace.model.person import Cells, GroupKey, Join, JoinKind

SEARCHED = ("email", "$email", "name", "$name", "username")
_MAX_TERM_CHARS = 200
_AT_ONCE = 500
_Value = TypeVar("_Value")
_encoder = msgspec.json.Encoder()
_cells_decoder = msgspec.json.Decoder(Cells)


class ControlPeopleStates:
    """Fits the PeopleStates port. Any thread may call it."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def load(self, tenant: Tenant, needs: PeopleNeeds, /, *, joins: bool = False) -> PeopleState:
        """See the PeopleStates port."""
        state = PeopleState()
        with reading(self._engine) as connection:
            names: dict[int, str] = {}  # of all loaded ids
            persons: dict[str, int] = {}  # by id: the number of the person
            for some in slices(sorted(needs.ids)):
                for row in connection.execute(
                    sa.select(person_ids).where(*of_tenant(tenant), person_ids.c.id.in_(some))
                ):
                    names[row.no], persons[row.id] = row.id, row.person_no
                    state.ids[row.id] = HeldId(row.id, "", row.known, cells_of(row.traits))
            whole = {number for id_, number in persons.items() if id_ in needs.persons}
            # The main id may not be among those asked for, but it names the person.
            for some in slices(sorted(whole | set(persons.values()))):
                self._load_persons(connection, some, whole, state, names, persons)
            for held in state.ids.values():
                held.person = names[persons[held.id]]
            wanted = [number for number, name in names.items() if name in needs.persons or joins]
            self._load_joins(connection, wanted, state, names, all_of_them=joins)
            self._load_groups(connection, tenant, needs.groups, state)
        return state

    def _load_persons(
        self,
        connection: sa.Connection,
        numbers: Sequence[int],
        whole: set[int],
        state: PeopleState,
        names: dict[int, str],
        persons: dict[str, int],
    ) -> None:
        columns = (person_ids.c.no, person_ids.c.id, person_ids.c.person_no, person_ids.c.known)
        is_wanted = sa.or_(
            person_ids.c.person_no.in_([number for number in numbers if number in whole]),
            person_ids.c.no.in_(numbers),
        )
        for row in connection.execute(sa.select(*columns).where(is_wanted)):
            names[row.no], persons[row.id] = row.id, row.person_no
            if row.id not in state.ids:
                state.ids[row.id] = HeldId(row.id, "", row.known)

    def _load_joins(
        self,
        connection: sa.Connection,
        numbers: Sequence[int],
        state: PeopleState,
        names: dict[int, str],
        *,
        all_of_them: bool,
    ) -> None:
        for some in slices(sorted(numbers)):
            asked = sa.select(person_joins).where(person_joins.c.kept_no.in_(some))
            if not all_of_them:
                asked = asked.where(person_joins.c.undone)
            for row in connection.execute(asked):
                if row.other_no not in names:
                    continue
                kept, other = names[row.kept_no], names[row.other_no]
                if row.undone:
                    state.parted.add((kept, other))
                else:
                    state.joins.append(Join(kept, other, cast("JoinKind", row.kind), row.position))

    def _load_groups(
        self, connection: sa.Connection, tenant: Tenant, groups: Iterable[GroupKey], state: PeopleState
    ) -> None:
        for row, key in _groups(connection, tenant, groups):
            state.groups[key] = cells_of(row.traits)
            state.group_times[key] = row.first_ms, row.last_ms

    def save(self, transaction: object, tenant: Tenant, state: PeopleState, /) -> None:
        """See the PeopleStates port."""
        if state.is_changed:
            _Saving(cast("sa.Connection", transaction), tenant, state).save()


class _Saving:
    def __init__(self, connection: sa.Connection, tenant: Tenant, state: PeopleState) -> None:
        self._connection = connection
        self._tenant = {"project": tenant.project, "mode": tenant.mode}
        self._of = tenant
        self._state = state

    def save(self) -> None:
        state = self._state
        touched = state.changed_ids | state.moved_ids | {id_ for id_, _ in (*state.new_members, *state.left_members)}
        touched |= {state.ids[each].person for each in touched if each in state.ids}
        for join in (*state.new_joins, *state.undone):
            touched |= {join.kept, join.other}
        numbers = self._number(touched)
        self._save_ids(numbers)
        self._save_terms(numbers)
        self._save_joins(numbers)
        self._save_groups(numbers)

    def _number(self, ids: set[str]) -> dict[str, int]:
        """The number of each id. New ids get the next numbers, in the order in which they were first mentioned."""
        found = numbers_of(self._connection, self._of, ids)
        new = [each for each in self._state.ids if each in ids and each not in found]
        if new:
            rows = [
                {**self._tenant, "id": each, "person_no": 0, "known": self._state.ids[each].known, "traits": "{}"}
                for each in new
            ]
            self._connection.execute(insert(self._connection, person_ids).on_conflict_do_nothing(), rows)
            found |= numbers_of(self._connection, self._of, new)
        return found

    def _save_ids(self, numbers: dict[str, int]) -> None:
        held = self._state.ids
        moved = [
            {"b_no": numbers[each], "person_no": numbers[held[each].person], "known": held[each].known}
            for each in self._state.moved_ids
        ]
        changed = [
            {"b_no": numbers[each], "traits": _encoder.encode(held[each].cells).decode()}
            for each in self._state.changed_ids
        ]
        for rows in (moved, changed):
            if rows:
                names: dict[str, Any] = {name: sa.bindparam(name) for name in rows[0] if name != "b_no"}
                update = sa.update(person_ids).where(person_ids.c.no == sa.bindparam("b_no")).values(names)
                self._connection.execute(update, sorted(rows, key=lambda row: cast("int", row["b_no"])))

    def _save_terms(self, numbers: dict[str, int]) -> None:
        gone: list[dict[str, Any]] = []
        new: list[dict[str, Any]] = []
        for each in sorted(self._state.changed_ids):
            before, after = terms_of(self._state.before.get(each, {})), terms_of(self._state.ids[each].cells or {})
            own: dict[str, Any] = {**self._tenant, "id_no": numbers[each]}
            gone += [{f"b_{name}": value for name, value in (own | {"term": term}).items()} for term in before - after]
            new += [own | {"term": term} for term in sorted(after - before)]
        if gone:
            keys = [column == sa.bindparam(f"b_{column.name}") for column in person_terms.primary_key.columns]
            self._connection.execute(sa.delete(person_terms).where(*keys), gone)
        if new:
            self._connection.execute(insert(self._connection, person_terms).on_conflict_do_nothing(), new)

    def _save_joins(self, numbers: dict[str, int]) -> None:
        rows = [
            {"kept_no": numbers[each.kept], "other_no": numbers[each.other], "kind": each.by}
            | {"position": each.position, "undone": undone}
            for joins, undone in ((self._state.undone, True), (self._state.new_joins, False))
            for each in joins
        ]
        if rows:
            statement = insert(self._connection, person_joins)
            new = {name: statement.excluded[name] for name in ("kind", "position", "undone")}
            keys = ["kept_no", "other_no"]
            self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)

    def _save_groups(self, numbers: dict[str, int]) -> None:
        state = self._state
        rows: list[dict[str, Any]] = [
            {**self._tenant, "type": each.type, "key": each.key, "traits": _encoder.encode(state.groups[each]).decode()}
            | dict(zip(("first_ms", "last_ms"), state.group_times[each], strict=True))
            for each in sorted(state.changed_groups, key=lambda group: (group.type, group.key))
        ]
        if rows:
            statement = insert(self._connection, person_groups)
            keys = ["project", "mode", "type", "key"]
            new = {name: statement.excluded[name] for name in ("traits", "first_ms", "last_ms")}
            self._connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=new), rows)
        self._save_members(numbers)

    def _save_members(self, numbers: dict[str, int]) -> None:
        new, left = self._state.new_members, self._state.left_members
        if not new and not left:
            return
        wanted = {group for _, group in (*new, *left)}
        of_group = {key: row.no for row, key in _groups(self._connection, self._of, wanted)}
        gone = [{"b_group": of_group[group], "b_id": numbers[id_]} for id_, group in left if group in of_group]
        if gone:
            own = (group_members.c.group_no == sa.bindparam("b_group"), group_members.c.id_no == sa.bindparam("b_id"))
            self._connection.execute(sa.delete(group_members).where(*own), gone)
        rows = [
            {"group_no": of_group[group], "id_no": numbers[id_], "joined_ms": joined_ms}
            for (id_, group), joined_ms in new.items()
        ]
        if rows:
            rows.sort(key=lambda row: (row["group_no"], row["id_no"]))
            self._connection.execute(insert(self._connection, group_members).on_conflict_do_nothing(), rows)


def of_tenant(tenant: Tenant, /) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    return person_ids.c.project == tenant.project, person_ids.c.mode == tenant.mode


def cells_of(text: str, /) -> Cells:
    return _cells_decoder.decode(text)


def numbers_of(connection: sa.Connection, tenant: Tenant, ids: Iterable[str], /) -> dict[str, int]:
    """The numbers of the ids that have one."""
    found: dict[str, int] = {}
    for some in slices(sorted(ids)):
        asked = sa.select(person_ids.c.id, person_ids.c.no).where(*of_tenant(tenant), person_ids.c.id.in_(some))
        found |= {row.id: row.no for row in connection.execute(asked)}
    return found


def term_of(text: str, /) -> str:
    """The form in which a text is saved, and searched for by its beginning."""
    return text.strip().casefold()[:_MAX_TERM_CHARS]


def terms_of(cells: Cells, /) -> set[str]:
    """The search terms of an id with these traits."""
    values = (cells[name].value for name in SEARCHED if name in cells)
    return {term_of(value) for value in values if type(value) is str and value.strip()}


def slices(values: Sequence[_Value], /) -> list[Sequence[_Value]]:
    """Slices that are small enough for one IN list."""
    return [values[start : start + _AT_ONCE] for start in range(0, len(values), _AT_ONCE)]


def _groups(
    connection: sa.Connection, tenant: Tenant, groups: Iterable[GroupKey], /
) -> list[tuple[sa.Row[Any], GroupKey]]:
    """(row, key) of the groups that exist."""
    wanted: dict[str, list[str]] = {}
    for each in groups:
        wanted.setdefault(each.type, []).append(each.key)
    found: list[tuple[sa.Row[Any], GroupKey]] = []
    for kind, keys in sorted(wanted.items()):
        for some in slices(sorted(keys)):
            asked = sa.select(person_groups).where(
                person_groups.c.project == tenant.project,
                person_groups.c.mode == tenant.mode,
                person_groups.c.type == kind,
                person_groups.c.key.in_(some),
            )
            found += [(row, GroupKey(kind, row.key)) for row in connection.execute(asked)]
    return found
