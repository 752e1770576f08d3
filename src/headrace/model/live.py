"""What whoever watches events arrive is told: rows, counts, refusals. And which events a filter matches, in memory. No I/O."""

from collections.abc import Sequence

import msgspec

from headrace.model.event import Event
from headrace.model.filters import Filters

MAX_ROWS = 200
MAX_NAMES = 1000
REST = ""
"""Where events are counted whose names are too many to be told one by one; no event has this name."""


class Refusal(msgspec.Struct, frozen=True):
    """A request that was refused, or an event of one that was not. Holds no body and no secret.

    route: its template, or the path where there is no route. prefix: of the key, "" for an unknown one. client: the User-Agent.
    """

    at_ms: int
    method: str
    route: str
    status: int
    code: str
    message: str
    prefix: str
    client: str


class Told(msgspec.Struct, frozen=True):
    """What has happened since the last time: the newest rows, rendered, oldest first, and exact counts by name.

    position: up to here everything is counted.
    """

    position: int
    rows: Sequence[bytes] = ()
    counts: dict[str, int] = {}
    refusals: Sequence[Refusal] = ()
    lost: bool = False  # more happened than could be kept: ask anew


def add_counts(counts: dict[str, int], more: dict[str, int], /) -> None:
    """Add counts to counts, in place, for `MAX_NAMES` names and one for the rest."""
    for name, count in more.items():
        if name not in counts and len(counts) >= MAX_NAMES:
            name = REST  # noqa: PLW2901  the loop's own name
        counts[name] = counts.get(name, 0) + count


def matches(event: Event, filters: Filters, /) -> bool:
    """Whether an event matches filters as `Filters` says; of properties, times, positions and ids it knows nothing."""
    if filters.name is not None and event.name != filters.name:
        return False
    if filters.name_prefix is not None and not event.name.startswith(filters.name_prefix):
        return False
    if filters.people is not None and (event.user_id or event.anonymous_id) not in filters.people:
        return False
    if any(
        wanted is not None and wanted != having
        for wanted, having in (
            (filters.user_id, event.user_id),
            (filters.source, event.source),
            (filters.session_id, event.session_id),
            (filters.environment, event.environment),
            (filters.service, event.service),
            (filters.host, event.host),
        )
    ):
        return False
    # As in the store: a tag or, without one, the string property of that name.
    return all(event.tags.get(key, event.labels.get(key)) == value for key, value in filters.tags)
