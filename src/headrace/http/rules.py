"""The native routes for rules: show the rules in force and replace them. Each parses, asks, and renders."""

import re
from collections.abc import Callable, Mapping, Sequence

import falcon
import falcon.asgi
import msgspec

from headrace.assembly.capabilities.rules import RuleAdmin
from headrace.dialects import native
from headrace.dialects.native_journeys import flag
from headrace.dialects.wire import integer_of
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant, received_ms_of, render_evt
from headrace.model.rulebook import Fired, PutAside, RuleRow, Version
from headrace.model.status import Lag
from headrace.model.times import render_time_short
from headrace.reactions.document import Document
from headrace.reactions.source import MAX_BYTES

_MOST_JUDGED = 1000
_TAG = re.compile(r'(W/)?"([!#-~]{0,100})"')
_TAGS = re.compile(rf"{_TAG.pattern}(\s*,\s*{_TAG.pattern}){{0,20}}")


class Rules:
    def __init__(self, rules: RuleAdmin, max_request_bytes: int) -> None:
        self._rules = rules
        self._max_bytes = min(MAX_BYTES, max_request_bytes)

    def handlers(self) -> Handlers:
        return {
            "rules": self.show,
            "rules_version": self.version,
            "apply_rules": self.apply,
            "passed_over": self.passed_over,
            "passed_over_by_all": self.passed_over_by_all,
        }

    async def show(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        found, history, running = await self._rules.show(tenant.project)
        rows = {row.no: row for row in found.rows} if found else {}
        aside = await self._rules.put_aside(tenant.project)
        fired = await self._rules.fired(tenant)
        data = {
            "version": found.version.version if found else None,
            "applied_at": render_time_short(found.version.applied_at_ms) if found else None,
            "document": found.document if found else Document(),
            "source": self._rules.source_of(found.version) if found else "",
            "rules": [
                _rule(kind, rule.title, rows[no], fired.get(no, Fired()), aside)
                for no, (kind, rule, _) in running.rules.items()
            ],
        }
        if found:
            resp.set_header("ETag", f'"{found.version.version}"')
        reactions = [_reactions(*each) for each in await self._rules.progress(tenant.project)]
        resp.data = native.render_data(
            data, {"history": [_version(version) for version in history], "reactions": reactions}
        )

    async def apply(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        dry_run, move_runs = (flag(parameters(req), name) for name in ("dry_run", "move_runs"))
        judged = _judged(parameters(req), dry_run=dry_run)
        replaces = _replaces(req)
        body = await read_body(req, self._max_bytes)
        applied = await self._rules.apply(tenant.project, body, dry_run=dry_run, move_runs=move_runs, replaces=replaces)
        would_cause = await self._rules.rehearse(tenant, body, judged) if judged else None
        if not dry_run:
            resp.set_header("ETag", f'"{applied.version}"')
        resp.data = native.render_data(msgspec.structs.asdict(applied) | {"would_cause": would_cause})

    async def version(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        found = await self._rules.version(tenant.project, path["version"])
        document = msgspec.Raw(found.document.encode())
        resp.data = native.render_data(_version(found) | {"document": document, "source": self._rules.source_of(found)})

    async def passed_over(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        given = {name: value for name, value in parameters(req) if value}
        rule = path["kind"], path["rule_id"], given.get("version")
        await self._list_passed_over(given, resp, tenant, rule)

    async def passed_over_by_all(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        given = {name: value for name, value in parameters(req) if value}
        await self._list_passed_over(given, resp, tenant, None)

    async def _list_passed_over(
        self,
        given: dict[str, str],
        resp: falcon.asgi.Response,
        tenant: Tenant,
        rule: tuple[str, str, str | None] | None,
    ) -> None:
        kind, rule_id, version = rule or ("", "", None)
        bound = native.bound_to("passed_over", kind=kind, rule=rule_id, version=version)
        limit, after = native.parse_limit(given), native.parse_cursor(given, bound)
        found = await self._rules.passed_over(tenant, rule, after or "", limit + 1)
        more = len(found) > limit
        resp.data = native.render_data(
            [{"event_id": render_evt(each.event_id), "why": each.why} for each in found[:limit]],
            {"limit": limit, "next_cursor": native.render_cursor(found[limit - 1].event_id, bound) if more else None},
        )


def _judged(given: Sequence[tuple[str, str]], *, dry_run: bool) -> int:
    """How many events to judge. Raises InvalidRequest."""
    text = next((value for name, value in given if name == "events" and value), None)
    if text is None:
        return 0
    count = integer_of(text, "events")
    if not 1 <= count <= _MOST_JUDGED:
        raise InvalidRequest(f"'events' must be 1 to {_MOST_JUDGED}; it is {count}.")
    if not dry_run:
        raise InvalidRequest("'events' belongs to a dry run: send dry_run=true as well.")
    return count


def _replaces(req: falcon.asgi.Request) -> Callable[[str], bool]:
    """Tells by the version in force, "" for none, whether the request means to replace it. Raises InvalidRequest.

    Source: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.1
    """
    given, absent = (text and text.strip() for text in (req.get_header("If-Match"), req.get_header("If-None-Match")))
    if absent is not None:
        if absent != "*" or given is not None:
            raise InvalidRequest(
                "Send either If-Match with an ETag, or 'If-None-Match: *' if there must be no rules yet."
            )
        return lambda version: not version
    if given is None:
        return lambda _: True
    if given == "*":
        return bool
    if not _TAGS.fullmatch(given):
        raise InvalidRequest('If-Match must be the ETag of GET /api/v1/rules, quotes included: "62bbcf7a54a154ff".')
    tags = {tag for weak, tag in _TAG.findall(given) if not weak}  # a weak tag never matches
    return lambda version: version in tags


def _rule(kind: str, title: str, row: RuleRow, fired: Fired, aside: Sequence[PutAside]) -> dict[str, object]:
    last = fired.last_event
    last_fired = {"event_id": render_evt(last), "at": render_time_short(received_ms_of(last))} if last else None
    failed = {"event_id": render_evt(row.failed_event), "why": row.failed_why} if row.failed_event else None
    return {
        "kind": kind,
        "id": row.rule_id,
        "title": title,
        "version": row.version,
        "fired": fired.count,
        "last_fired": last_fired,
        "failures": row.failures,
        "last_failure": failed,
        "passed_over": row.passed_over,
        "put_aside": [
            {"mode": each.mode, "event_id": render_evt(each.event_id), "why": each.why}
            for each in aside
            if each.rule_no == row.no
        ],
    }


def _reactions(lag: Lag, passed_over: int) -> dict[str, object]:
    return {
        "mode": lag.tenant.mode,
        "waiting": lag.waiting,
        "lag_seconds": lag.seconds,
        "passed_over": passed_over,
    }


def _version(version: Version) -> dict[str, object]:
    return {"version": version.version, "applied_at": render_time_short(version.applied_at_ms)}
