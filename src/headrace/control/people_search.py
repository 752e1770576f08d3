"""People whose id or search term begins with a text: the newest first, in bounded steps, however many match.

A text that few match is answered from the indexes of ids and terms. One that many match is usually matched by some of the
newest people, so those are looked at one by one. Only what they leave is taken from the indexes, in a pass over all matches.
"""

from collections.abc import Iterable

import sqlalchemy as sa

from headrace.control.people_states import cells_of, of_tenant, slices, term_of, terms_of
from headrace.control.tables.people import person_ids, person_terms
from headrace.model.event import Tenant

FEW = 1000  # matches that are fetched to be sorted here
LOOKED_AT = 1000  # of the newest people
_LAST = "\U0010ffff"  # sorts after any continuation of a text


def newest(connection: sa.Connection, tenant: Tenant, before: int | None, limit: int, /) -> list[int]:
    """Numbers of people, newest first; `before`: only lower ones."""
    asked = sa.select(person_ids.c.no).where(*of_tenant(tenant), person_ids.c.person_no == person_ids.c.no)
    if before is not None:
        asked = asked.where(person_ids.c.no < before)
    return list(connection.scalars(asked.order_by(person_ids.c.no.desc()).limit(limit)))


def matching(connection: sa.Connection, tenant: Tenant, search: str, before: int | None, limit: int, /) -> list[int]:
    """Numbers of people with an id that begins with the text, or an email or a name that does in any case, newest first."""
    both = [_by_id(tenant, search), _by_term(tenant, search)]
    some = [list(connection.scalars(each.limit(FEW + 1))) for each in both]
    if all(len(each) <= FEW for each in some):
        return _newest_of((number for each in some for number in each), before, limit)
    seen = newest(connection, tenant, before, LOOKED_AT)
    found = _matching_of(connection, seen, search)[:limit]
    if len(found) == limit or len(seen) < LOOKED_AT:
        return found
    lower = person_ids.c.person_no < seen[-1]
    rest = limit - len(found)
    for each in both:
        found += connection.scalars(each.where(lower).distinct().order_by(person_ids.c.person_no.desc()).limit(rest))
    return _newest_of(found, before, limit)


def _by_id(tenant: Tenant, search: str) -> "sa.Select[int]":
    return sa.select(person_ids.c.person_no).where(
        *of_tenant(tenant), person_ids.c.id >= search, person_ids.c.id < search + _LAST
    )


def _by_term(tenant: Tenant, search: str) -> "sa.Select[int]":
    term = term_of(search)
    return (
        sa.select(person_ids.c.person_no)
        .join(person_terms, person_terms.c.id_no == person_ids.c.no)
        .where(person_terms.c.project == tenant.project, person_terms.c.mode == tenant.mode)
        .where(person_terms.c.term >= term, person_terms.c.term < term + _LAST)
    )


def _matching_of(connection: sa.Connection, numbers: list[int], search: str) -> list[int]:
    """Those of the people that match, in the same order."""
    term = term_of(search)
    found: set[int] = set()
    for some in slices(numbers):
        asked = sa.select(person_ids.c.person_no, person_ids.c.id, person_ids.c.traits)
        for row in connection.execute(asked.where(person_ids.c.person_no.in_(some))):
            if row.id.startswith(search) or any(each.startswith(term) for each in terms_of(cells_of(row.traits))):
                found.add(row.person_no)
    return [number for number in numbers if number in found]


def _newest_of(numbers: Iterable[int], before: int | None, limit: int) -> list[int]:
    return sorted({number for number in numbers if before is None or number < before}, reverse=True)[:limit]
