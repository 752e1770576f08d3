"""Replays and their jobs in the Hogsend dialect. Translates; never replays.

Source: shared/seeds/003, and shared/CONTRACT.md "hogsend".
"""

import msgspec

from headrace.dialects.hogsend import EVENT_NOT_FOUND, parse_page
from headrace.dialects.names import decode_known
from headrace.dialects.wire import ABSENT, Pairs, confined, encode_json, is_empty_array
from headrace.model.effects import Effect, points_paid
from headrace.model.errors import InvalidRequest
from headrace.model.event import render_uuid
from headrace.model.filters import MAX_REPLAY, Filters, Page, Selection
from headrace.model.rehearsal import Rehearsed
from headrace.model.replay_job import ReplayJob
from headrace.model.times import parse_time, render_time

DEFAULT_REPLAY = 100
MAX_JOB_LIMIT = 10**12
MAX_CRITERION_CHARS = 1000


class ReplayRequest(msgspec.Struct, frozen=True):
    """force: cause effects again that were caused before. dry_run: only report what would be caused. later: run as a job.

    rebuild: replay all events, then correct the ledger to what the rules give.
    """

    selection: Selection
    force: bool
    dry_run: bool
    later: bool = False
    rebuild: bool = False


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
    """Unknown members are refused whatever the settings say, because a misspelt criterion would replay everything."""
    request = decode_known(_replay_decoder, text, "The body", _Replay)
    if request.filter is ABSENT or is_empty_array(request.filter):
        return request, _Filter()
    return request, decode_known(_filter_decoder, request.filter, "'filter'", _Filter) or _Filter()


def parse_replay(body: bytes, /) -> ReplayRequest:
    """Raises InvalidRequest. A string that is not an event id is not an error: the response lists it as unknown."""
    request, criteria = confined(body, _parse_body)
    ids = list(dict.fromkeys(request.event_ids or ()))
    if len(ids) > MAX_REPLAY:
        raise InvalidRequest(f"'eventIds' has {len(ids)} ids; at most {MAX_REPLAY} are allowed in one request.")
    filters = _parse_filter(criteria)
    if request.rebuild:
        as_asked = request.async_ in (None, not request.dry_run)
        if ids or filters != Filters() or request.limit is not None or request.force or not as_asked:
            raise InvalidRequest("A rebuild replays every event as a job, so only 'dryRun' can be sent with 'rebuild'.")
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
    """Raises InvalidRequest."""
    return parse_page({name: value for name, value in pairs if value})


def _parse_filter(given: _Filter) -> Filters:
    """Empty values count as absent, as in a query."""
    return Filters(
        name=given.event or None,
        person=given.user_id or None,
        source=given.source or None,
        from_ms=parse_time(given.from_, "filter.from") if given.from_ else None,
        to_ms=parse_time(given.to, "filter.to", end_of_day=True) if given.to else None,
    )


def render_replay(
    replayed: int,
    unknown: list[str],
    failed: list[tuple[str, str]],
    rehearsed: tuple[list[Effect], int] | None,
    /,
) -> bytes:
    """rehearsed: for a dry run, its effects, and how many more events were selected than the limit allows."""
    reply: dict[str, object] = {
        "replayed": replayed,
        "errors": [{"eventId": event_id, "error": EVENT_NOT_FOUND} for event_id in unknown] + _render_failed(failed),
    }
    if rehearsed is not None:
        effects, left_out = rehearsed
        reply["effects"] = _render_effects(effects)
        reply["points"] = points_paid(effects)
        reply["leftOut"] = {"events": left_out}
    return encode_json(reply)


def render_rehearsed(done: Rehearsed, /) -> bytes:
    """The dry run of a rebuild. `leftOut`: how many effects, corrections and errors are counted but not listed."""
    return encode_json(
        {
            "replayed": done.events,
            "errors": _render_failed(done.first_failures),
            "effects": _render_effects(done.first_effects),
            "points": done.points,
            "corrections": {
                "total": done.corrections,
                "points": done.corrected_points,
                "entries": [
                    {"participant": each.participant, "kind": each.kind, "rule": each.rule_id}
                    | {"points": each.points, "due": each.due, "paid": each.paid}
                    for each in done.first_corrections
                ],
            },
            "leftOut": {
                "effects": done.effects - len(done.first_effects),
                "corrections": done.corrections - len(done.first_corrections),
                "errors": done.failed - len(done.first_failures),
            },
        }
    )


def _render_failed(failed: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"eventId": render_uuid(event_id), "error": why} for event_id, why in failed]


def _render_effects(effects: list[Effect]) -> list[dict[str, object]]:
    return [
        {
            "type": effect.kind,
            "eventId": render_uuid(effect.event_id),
            "rule": effect.rule,
            "participant": effect.participant or None,
        }
        | effect.detail
        for effect in effects
    ]


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
