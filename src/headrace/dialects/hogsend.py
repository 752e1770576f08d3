"""The Hogsend dialect's admin plane: browses events and replays them. Translates; never stores.

Its data plane, which accepts single events, is in hogsend_data.py.

Source: shared/seeds/003, and shared/CONTRACT.md "hogsend".
"""

from collections.abc import Callable, Sequence

import msgspec

from headrace.dialects.names import decode_known
from headrace.dialects.wire import (
    ABSENT,
    Pairs,
    confined,
    encode_json,
    integer_of,
    is_empty_array,
    raw_object,
)
from headrace.model.effects import Effect
from headrace.model.errors import HeadraceError, InvalidRequest, Unauthorized
from headrace.model.event import StoredEvent, render_uuid
from headrace.model.filters import MAX_REPLAY, Events, Filters, Observed, Page, Selection
from headrace.model.ledger import Correction
from headrace.model.replay_job import ReplayJob
from headrace.model.times import parse_time, render_time
from headrace.model.zones import UTC_ZONE, zone_of

NAME = "hogsend"
DEFAULT_LIMIT = 50
MAX_LIMIT = 100
DEFAULT_REPLAY = 100
MAX_JOB_LIMIT = 10**12
MAX_CRITERION_CHARS = 1000
DEFAULT_NAMES = 100
MAX_NAMES = 200
EVENT_NOT_FOUND = "Event not found"
CONTACT_DELETED = "contact.deleted"  # the event that a deleted contact leaves
GROUP_LEFT = "group.left"  # and somebody who leaves a group
DELETED = "$deleted"  # the trait of a contact that was deleted


def render_error(error: HeadraceError, _status: int, /) -> bytes:
    return encode_json({"error": "Unauthorized" if isinstance(error, Unauthorized) else error.message})


class ListQuery(msgspec.Struct, frozen=True):
    filters: Filters
    page: Page


MAX_CORRECTIONS = 1000  # shown by a dry run


class ReplayRequest(msgspec.Struct, frozen=True):
    """`force`: cause again what was caused already. `dry_run`: only say what would be caused. `later`: as a job.

    `rebuild`: all events, and then bring the ledger to what the rules give.
    """

    selection: Selection
    force: bool
    dry_run: bool
    later: bool = False
    rebuild: bool = False


def _parse_page(given: dict[str, str]) -> Page:
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
        _parse_page(given),
    )


class _Filter(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    event: str | None = None
    user_id: str | None = None
    source: str | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


class _Replay(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    event_ids: list[str] | None = None
    filter: msgspec.Raw = ABSENT
    limit: int | None = None
    force: bool | None = None
    dry_run: bool | None = None
    async_: bool | None = msgspec.field(default=None, name="async")
    rebuild: bool | None = None


_replay_decoder = msgspec.json.Decoder(_Replay)
_filter_decoder = msgspec.json.Decoder(_Filter | None)


def _parse_body(text: bytes) -> tuple[_Replay, _Filter]:
    """A misspelt criterion would replay everything, so unknown members are refused, whatever the settings say."""
    request = decode_known(_replay_decoder, text, "The body", _Replay)
    if request.filter is ABSENT or is_empty_array(request.filter):
        return request, _Filter()
    return request, decode_known(_filter_decoder, request.filter, "'filter'", _Filter) or _Filter()


def parse_replay(body: bytes, /) -> ReplayRequest:
    """Raises InvalidRequest. A string that is not an event id is no error: the reply lists it as unknown."""
    request, criteria = confined(body, _parse_body)
    ids = list(dict.fromkeys(request.event_ids or ()))
    if len(ids) > MAX_REPLAY:
        raise InvalidRequest(f"'eventIds' has {len(ids)} ids; at most {MAX_REPLAY} are allowed in one request.")
    filters = _parse_filter(criteria)
    if request.rebuild:
        as_asked = request.async_ in (None, not request.dry_run)
        if ids or filters != Filters() or request.limit is not None or request.force or not as_asked:
            raise InvalidRequest("A rebuild takes every event and is a job: only 'dryRun' goes with 'rebuild'.")
        return ReplayRequest(
            Selection(None, Filters(), None), False, bool(request.dry_run), not request.dry_run, rebuild=True
        )
    if not ids and filters == Filters():
        raise InvalidRequest("Send 'eventIds' with at least one id, or a 'filter' with at least one criterion.")
    limit, later = request.limit, bool(request.async_)
    if later and request.dry_run:
        raise InvalidRequest(
            "A dry run cannot be asynchronous: omit 'async', and narrow the 'filter' or set a 'limit'."
        )
    if limit is None:
        limit = None if ids or later else DEFAULT_REPLAY
    elif not 1 <= limit <= (MAX_JOB_LIMIT if later else MAX_REPLAY):
        raise InvalidRequest(
            f"'limit' must be a whole number from 1 to {MAX_REPLAY}; with 'async', from 1 to {MAX_JOB_LIMIT}."
        )
    if later and any(
        isinstance(each, str) and len(each) > MAX_CRITERION_CHARS for each in msgspec.structs.astuple(filters)
    ):
        raise InvalidRequest(f"A criterion of 'filter' has more than {MAX_CRITERION_CHARS} characters.")
    return ReplayRequest(Selection(ids or None, filters, limit), bool(request.force), bool(request.dry_run), later)


def parse_list_replays(pairs: Pairs, /) -> Page:
    given = {name: value for name, value in pairs if value}
    return _parse_page(given)


def _parse_filter(given: _Filter) -> Filters:
    """Empty values count as absent, as in a query."""
    return Filters(
        name=given.event or None,
        person=given.user_id or None,
        source=given.source or None,
        from_ms=parse_time(given.from_, "filter.from") if given.from_ else None,
        to_ms=parse_time(given.to, "filter.to", end_of_day=True) if given.to else None,
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
    """Render the sources. One that this version does not know is shown as merely observed."""
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


def render_replay(
    replayed: int,
    unknown: list[str],
    failed: list[tuple[str, str]],
    effects: list[Effect] | None,
    /,
    corrections: Sequence[Correction] | None = None,
) -> bytes:
    """`effects`, and the points that would be paid in all, only for a dry run; `corrections` only for one of a rebuild."""
    reply: dict[str, object] = {
        "replayed": replayed,
        "errors": [{"eventId": event_id, "error": EVENT_NOT_FOUND} for event_id in unknown]
        + [{"eventId": render_uuid(event_id), "error": why} for event_id, why in failed],
    }
    if effects is not None:
        reply["effects"] = [
            {
                "type": effect.kind,
                "eventId": render_uuid(effect.event_id),
                "rule": effect.rule,
                "participant": effect.participant or None,
            }
            | effect.detail
            for effect in effects
        ]
        paid = [effect for effect in effects if effect.kind == "points" and effect.generation == 0]
        reply["points"] = sum(int(str(effect.detail["points"])) for effect in paid)
    if corrections is not None:
        reply["corrections"] = {
            "total": len(corrections),
            "points": sum(each.points for each in corrections),
            "entries": [
                {"participant": each.participant, "kind": each.kind, "rule": each.rule_id}
                | {"points": each.points, "due": each.due, "paid": each.paid}
                for each in corrections[:MAX_CORRECTIONS]
            ],
        }
    return encode_json(reply)


def render_job(job: ReplayJob, /) -> bytes:
    return encode_json({"replay": _render_job(job) | {"errors": _render_errors(job)}})


def render_jobs(page: Page, total: int, jobs: list[ReplayJob], /) -> bytes:
    """Render a page of jobs, without their errors."""
    listed = [_render_job(job) for job in jobs]
    return encode_json({"replays": listed, "total": total, "limit": page.limit, "offset": page.offset})


def _render_errors(job: ReplayJob) -> list[dict[str, str]]:
    return [{"eventId": event_id, "error": error} for event_id, error in job.errors]


def _render_job(job: ReplayJob) -> dict[str, object]:
    filters = job.filters
    return {
        "id": job.id,
        "status": job.status,
        "eventIds": job.ids,
        "filter": None
        if job.ids is not None
        else {
            "event": filters.name,
            "userId": filters.person,
            "source": filters.source,
            "from": _time_or_null(filters.from_ms),
            "to": _time_or_null(filters.to_ms),
        },
        "limit": job.limit,
        "force": job.force,
        "total": job.total,
        "replayed": job.replayed,
        "failed": job.failed,
        "unknown": job.unknown,
        "effects": job.effects,
        "suppressed": job.suppressed,
        "rebuild": job.rebuild,
        "corrections": job.corrections,
        "correctedPoints": job.corrected_points,
        "problem": job.problem or None,
        "createdAt": render_time(job.created_at_ms),
        "startedAt": _time_or_null(job.started_at_ms),
        "finishedAt": _time_or_null(job.finished_at_ms),
    }


def _time_or_null(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else render_time(milliseconds)
