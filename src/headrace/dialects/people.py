"""People and groups as the native dialect shows them. Translates; never stores."""

from collections.abc import Mapping, Sequence

import msgspec

from headrace.dialects import native
from headrace.dialects.flux_queries import render_row
from headrace.dialects.wire import Pairs
from headrace.model.errors import InvalidRequest
from headrace.model.filters import Cursor, Events, Observed, Page
from headrace.model.person import Group, Person
from headrace.model.times import render_time

MAX_SEARCH_CHARS = 200
_MAX_DIGITS, _LARGEST = 19, (1 << 63) - 1  # of a number in a cursor: it fits into any database's integer


class PeopleQuery(msgspec.Struct, frozen=True):
    """before: the number of the last person on the previous page."""

    search: str
    before: int | None
    limit: int


def parse_people(pairs: Pairs, /) -> PeopleQuery:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    search = given.get("search", "")
    if len(search) > MAX_SEARCH_CHARS:
        raise InvalidRequest(f"'search' has {len(search)} characters; the limit is {MAX_SEARCH_CHARS}.")
    last = native.parse_cursor(given, _of_search(search))
    return PeopleQuery(search, None if last is None else _number(last), native.parse_limit(given))


def parse_person_events(pairs: Pairs, user_id: str, /) -> Page:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    last = native.parse_cursor(given, _of_person(user_id))
    after = None
    if last is not None:
        moment, _, position = last.partition("/")
        after = Cursor(_number(moment), _number(position))
    return Page(limit=native.parse_limit(given), after=after, brief=True)


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS or int(text) > _LARGEST:
        raise InvalidRequest("'cursor' is not valid; omit it to start from the beginning.")
    return int(text)


def _of_search(search: str) -> str:
    return native.bound_to("users", search=search)


def _of_person(user_id: str) -> str:
    return native.bound_to("events", user=user_id)


def person_value(person: Person, seen: Sequence[Observed], /) -> dict[str, object]:
    """A row of a list. seen: summaries by id or by name that count each event once."""
    return {
        "id": person.id,
        "ids": list(person.ids),
        "traits": person.traits,
        "first_seen": render_time(min(each.first_ms for each in seen)) if seen else None,
        "last_seen": render_time(max(each.last_ms for each in seen)) if seen else None,
        "events": sum(each.occurrences for each in seen),
    }


def render_people(query: PeopleQuery, found: Sequence[tuple[int, Person]], seen: Mapping[str, Observed], /) -> bytes:
    """found: people with their numbers, at least one more than the limit if there are more. seen: summaries by id."""
    rows = [
        person_value(person, [seen[each] for each in person.ids if each in seen]) for _, person in found[: query.limit]
    ]
    is_more = len(found) > query.limit
    cursor = native.render_cursor(str(found[query.limit - 1][0]), _of_search(query.search)) if is_more else None
    return native.render_data(rows, {"limit": query.limit, "next_cursor": cursor})


def profile_value(
    person: Person, names: Sequence[Observed], events: Sequence[Observed], participant: object, /
) -> dict[str, object]:
    """names: the most frequent ones. events: summaries of all events, by id."""
    counts = [
        {
            "name": each.value,
            "count": each.occurrences,
            "first_seen": render_time(each.first_ms),
            "last_seen": render_time(each.last_ms),
        }
        for each in names
    ]
    groups = [{"type": group.type, "key": group.key} for group in person.groups]
    return person_value(person, events) | {"groups": groups, "names": counts, "participant": participant}


def render_person_events(user_id: str, page: Page, answer: Events, /) -> bytes:
    last = answer.events[-1] if answer.more else None
    cursor = None if last is None else native.render_cursor(f"{last.timestamp_ms}/{last.position}", _of_person(user_id))
    meta = {"total": answer.total, "limit": page.limit, "next_cursor": cursor}
    return native.render_data([render_row(event) for event in answer.events], meta)


def render_group(group: Group, /) -> bytes:
    value = {"type": group.type, "key": group.key, "traits": group.traits, "users": group.users}
    return native.render_data(value)
