"""The Hogsend dialect's admin plane: browses events. Translates; never stores.

hogsend_replays.py replays them; hogsend_data.py is the data plane, which accepts single events.

Source: shared/seeds/003, and shared/CONTRACT.md "hogsend".
"""

from collections.abc import Callable, Sequence

import msgspec

from headrace.dialects.wire import (
    Pairs,
    encode_json,
    integer_of,
    raw_object,
)
from headrace.model.errors import HeadraceError, InvalidRequest, Unauthorized
from headrace.model.event import StoredEvent, render_uuid
from headrace.model.filters import Events, Filters, Observed, Page
from headrace.model.times import parse_time, render_time
from headrace.model.zones import UTC_ZONE, zone_of

NAME = "hogsend"
DEFAULT_LIMIT = 50
MAX_LIMIT = 100
DEFAULT_NAMES = 100
MAX_NAMES = 200
EVENT_NOT_FOUND = "Event not found"
CONTACT_DELETED = "contact.deleted"  # the event stored when a contact is deleted
GROUP_LEFT = "group.left"  # the event stored when somebody leaves a group
DELETED = "$deleted"  # the trait of deleted contacts


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    return encode_json({"error": "Unauthorized" if isinstance(error, Unauthorized) else error.message})


class ListQuery(msgspec.Struct, frozen=True):
    filters: Filters
    page: Page


def parse_page(given: dict[str, str], /) -> Page:
    """Raises InvalidRequest."""
    limit = integer_of(given["limit"], "limit") if "limit" in given else DEFAULT_LIMIT
    offset = integer_of(given["offset"], "offset") if "offset" in given else 0
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidRequest(f"'limit' must be 1 to {MAX_LIMIT}; it is {limit}.")
    if offset < 0:
        raise InvalidRequest(f"'offset' must be 0 or more; it is {offset}.")
    return Page(limit=limit, offset=offset, brief=True)


def parse_list(pairs: Pairs, /) -> ListQuery:
    given = {name: value for name, value in pairs if value}
    zone = zone_of(given["tz"]) if "tz" in given else UTC_ZONE
    return ListQuery(
        Filters(
            name=given.get("event"),
            person=given.get("userId"),
            source=given.get("source"),
            from_ms=parse_time(given["from"], "from", zone=zone) if "from" in given else None,
            to_ms=parse_time(given["to"], "to", end_of_day=True, zone=zone) if "to" in given else None,
        ),
        parse_page(given),
    )


def _render_event(event: StoredEvent) -> dict[str, object]:
    return {
        "id": render_uuid(event.id),
        "userId": event.user_id or event.anonymous_id or None,
        "event": event.name,
        "properties": raw_object(event.properties),
        "occurredAt": render_time(event.timestamp_ms),
    }


def render_list(query: ListQuery, answer: Events, /) -> bytes:
    return encode_json(
        {
            "events": [_render_event(event) for event in answer.events],
            "total": answer.total,
            "limit": query.page.limit,
            "offset": query.page.offset,
        }
    )


def render_get(event: StoredEvent, /) -> bytes:
    return encode_json({"event": _render_event(event)})


class NamesQuery(msgspec.Struct, frozen=True):
    limit: int
    search: str = ""


def parse_names(pairs: Pairs, /) -> NamesQuery:
    """Raises InvalidRequest."""
    given = {name: value for name, value in pairs if value}
    limit = integer_of(given["limit"], "limit") if "limit" in given else DEFAULT_NAMES
    if not 1 <= limit <= MAX_NAMES:
        raise InvalidRequest(f"'limit' must be 1 to {MAX_NAMES}; it is {limit}.")
    return NamesQuery(limit, given.get("search", ""))


def render_names(query: NamesQuery, found: list[Observed], used_by: Callable[[str], Sequence[str]], /) -> bytes:
    """found: at least one more than the limit if there are more. used_by: the rules and journeys about a name, as `rule:<id>`."""
    note = (
        "Names of the events in this project and mode, most recently seen first; GET /api/v1/catalog has all of them."
    )
    if len(found) > query.limit:
        note += f" These are the first {query.limit}, and there are more: use 'search' to find them."
    events = [{"name": each.value} | _seen(each) | {"usedBy": used_by(each.value)} for each in found[: query.limit]]
    return encode_json({"note": note, "events": events})


# Sources by name. The APIs that other products' SDKs use are shown as connectors.
_SOURCES = {
    "flux": ("builtin", "Flux"),
    "bricqs": ("builtin", "Bricqs"),
    "solute": ("builtin", "Solute"),
    "hogsend": ("builtin", "Hogsend"),
    "cloudevents": ("builtin", "CloudEvents"),
    "native": ("builtin", "Lines"),
    "journey": ("builtin", "Journeys"),
    "segment": ("connector", "Segment"),
    "posthog": ("connector", "PostHog"),
    "amplitude": ("connector", "Amplitude"),
    "mixpanel": ("connector", "Mixpanel"),
}


def render_sources(found: list[Observed], /) -> bytes:
    """Render the sources. A source that this version does not know is shown as `observed`."""
    sources: list[dict[str, object]] = []
    for each in found:
        kind, label = _SOURCES.get(each.value, ("observed", each.value))
        sources.append({"name": each.value, "kind": kind, "label": label} | _seen(each))
    return encode_json({"sources": sources})


def _seen(observed: Observed) -> dict[str, object]:
    return {
        "occurrences": observed.occurrences,
        "firstSeenAt": render_time(observed.first_ms),
        "lastSeenAt": render_time(observed.last_ms),
    }
