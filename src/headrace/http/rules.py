"""The native routes about rules: which are in force, and putting others in their place. Each parses, asks, and renders."""

from collections.abc import Mapping

import falcon
import falcon.asgi

from headrace.assembly.capabilities import RuleAdmin
from headrace.dialects import native
from headrace.dialects.wire import Pairs
from headrace.http.body import read_body
from headrace.http.gate import parameters
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant, render_evt
from headrace.model.rulebook import RuleRow, Version
from headrace.model.times import render_time_short
from headrace.reactions.rules import Document
from headrace.reactions.source import MAX_BYTES


class Rules:
    def __init__(self, rules: RuleAdmin, max_request_bytes: int) -> None:
        self._rules = rules
        self._max_bytes = min(MAX_BYTES, max_request_bytes)

    async def show(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        found, history, running = await self._rules.show(tenant.project)
        rows = {row.no: row for row in found.rows} if found else {}
        data = {
            "version": found.version.version if found else None,
            "applied_at": render_time_short(found.version.applied_at_ms) if found else None,
            "document": found.document if found else Document(),
            "rules": [_rule(kind, rule.title, rows[no]) for no, (kind, rule, _) in running.rules.items()],
        }
        resp.data = native.render_data(data, {"history": [_version(version) for version in history]})

    async def apply(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        dry_run = _flag(parameters(req), "dry_run")
        body = await read_body(req, self._max_bytes)
        resp.data = native.render_data(await self._rules.apply(tenant.project, body, dry_run=dry_run))


def _rule(kind: str, title: str, row: RuleRow) -> dict[str, object]:
    failed = {"event_id": render_evt(row.failed_event), "why": row.failed_why} if row.failed_event else None
    return {
        "kind": kind,
        "id": row.rule_id,
        "title": title,
        "version": row.version,
        "failures": row.failures,
        "last_failure": failed,
    }


def _version(version: Version) -> dict[str, object]:
    return {"version": version.version, "applied_at": render_time_short(version.applied_at_ms)}


def _flag(pairs: Pairs, name: str) -> bool:
    value = dict(pairs).get(name) or "false"
    if value not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name!r} must be true or false; it is {value[:80]!r}.")
    return value in ("true", "1")
