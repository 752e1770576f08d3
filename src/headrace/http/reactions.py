"""The native routes about reactions: rules, participants, challenges, badges, effects. Each parses, asks, and renders."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import falcon
import falcon.asgi

from headrace.assembly.clock import clock_ms
from headrace.assembly.runtime import Runtime
from headrace.control.rulebook import RuleRow, Version
from headrace.control.scoreboard import MAX_LISTED, Award, Score, Scoreboard
from headrace.dialects import native
from headrace.dialects.wire import Pairs, integer_of
from headrace.http.body import read_body
from headrace.http.gate import Gate, ask_control, parameters
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import Tenant, render_evt
from headrace.model.filters import Filters, Page
from headrace.model.reaction_state import State
from headrace.model.times import render_time_short
from headrace.pipeline.rulesets import apply_rules, in_force
from headrace.reactions.challenges import Challenge
from headrace.reactions.rules import Document
from headrace.reactions.source import MAX_BYTES
from headrace.reactions.stage import RuleSet

Answer = TypeVar("Answer")
_MAX_OFFSET = 10_000


def _reply(resp: falcon.asgi.Response, data: object, meta: object = None) -> None:
    resp.data = native.render_data(data, meta)


class Rules:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "native")
        runtime = self._gate.runtime
        found = await ask_control(lambda: in_force(runtime.rulebook, tenant.project))
        history = await ask_control(lambda: runtime.rulebook.history(tenant.project, MAX_LISTED))
        rules = await ask_control(lambda: runtime.rule_cache.rules(tenant.project))
        rows = {row.no: row for row in found.rows} if found else {}
        data = {
            "version": found.version.version if found else None,
            "applied_at": render_time_short(found.version.applied_at_ms) if found else None,
            "document": found.document if found else Document(),
            "rules": [_rule(kind, rule.title, rows[no]) for no, (kind, rule, _) in rules.rules.items()],
        }
        _reply(resp, data, {"history": [_version(version) for version in history]})

    async def on_put(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "admin", "native")
        dry_run = _flag(parameters(req), "dry_run")
        runtime = self._gate.runtime
        body = await read_body(req, min(MAX_BYTES, runtime.settings.max_request_bytes))
        applied = await ask_control(
            lambda: apply_rules(
                runtime.rulebook, tenant.project, body, clock_ms(), last=runtime.log.last, dry_run=dry_run
            )
        )
        _reply(resp, applied)


class Participants:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._boards = Boards(gate.runtime)

    async def on_get_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, name: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        page = Page(limit=1)
        events = await self._gate.runtime.queries.ask(
            lambda reader: reader.events(tenant, Filters(person=name), page).total
        )
        now_ms = clock_ms()
        score, rules = await self._boards.ask(tenant, lambda board, rules: _read(board, tenant, name, rules, now_ms))
        if score is None and not events:
            raise NotFound(f"There is no participant {name[:200]!r}.")
        _reply(resp, _participant(name, events, score or Score(State(), [], 0, [], []), rules, now_ms))


class Challenges:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._boards = Boards(gate.runtime)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        counts, rules = await self._boards.ask(
            tenant, lambda board, rules: board.challenge_counts(tenant, [each.no for each in rules.challenges])
        )
        _reply(resp, [_challenge(each, rules, *counts.get(each.no, (0, 0))) for each in rules.challenges])

    async def on_get_leaderboard(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, challenge_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        limit, offset = _page(parameters(req))

        def ask(board: Scoreboard, rules: RuleSet) -> list[dict[str, object]]:
            challenge = next((each for each in rules.challenges if each.rule.id == challenge_id), None)
            if challenge is None:
                raise NotFound(f"There is no challenge {challenge_id[:80]!r}.")
            ranked = board.leaderboard(tenant, challenge.no, limit, offset)
            return [
                {
                    "rank": rank,
                    "participant": each.participant,
                    "completions": each.completions,
                    "best": _number(each.best),
                }
                for rank, each in enumerate(ranked, offset + 1)
            ]

        rows, _ = await self._boards.ask(tenant, ask)
        _reply(resp, rows, {"limit": limit, "offset": offset})


class Badges:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._boards = Boards(gate.runtime)

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        counts, rules = await self._boards.ask(tenant, lambda board, _: board.holder_counts(tenant))
        badges = [
            {
                "id": each.rule.id,
                "title": each.rule.title,
                "description": each.rule.description,
                "points": each.rule.points,
                "holders": counts.get(each.rule.id, 0),
            }
            for each in rules.badges
        ]
        _reply(resp, badges)

    async def on_get_holders(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, badge_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        limit, offset = _page(parameters(req))
        held, rules = await self._boards.ask(tenant, lambda board, _: board.holders(tenant, badge_id, limit, offset))
        if not held and not offset and all(each.rule.id != badge_id for each in rules.badges):
            raise NotFound(f"There is no badge {badge_id[:80]!r}.")
        _reply(
            resp,
            [{"participant": each.participant} | _award(each) for each in held],
            {"limit": limit, "offset": offset},
        )


class EventEffects:
    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, event_id: str) -> None:
        tenant = await self._gate.admit(req, resp, "query", "native")
        event = await self._gate.find(req, tenant, event_id)
        await self._gate.runtime.freshness.settled(tenant)
        effects = await asyncio.to_thread(self._gate.runtime.reactions.effects, event)
        _reply(resp, [native.effect_value(effect) for effect in effects])


class Boards:
    """Asks the scoreboard once all that was acknowledged has been reacted to."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def ask(self, tenant: Tenant, question: Callable[[Scoreboard, RuleSet], Answer], /) -> tuple[Answer, RuleSet]:
        """The answer, and the tenant's rules as they were for it. Raises Unavailable, and what the question raises."""
        await self._runtime.freshness.settled(tenant)

        def answer() -> tuple[Answer, RuleSet]:
            rules = self._runtime.rule_cache.rules(tenant.project)
            return question(self._runtime.scoreboard, rules), rules

        return await ask_control(answer)


def _read(board: Scoreboard, tenant: Tenant, name: str, rules: RuleSet, now_ms: int) -> Score | None:
    spans = [
        (challenge.no, *challenge.span(bucket))
        for challenge in rules.challenges
        if (bucket := challenge.current_bucket(now_ms)) is not None
    ]
    return board.participant(tenant, name, spans)


def _participant(name: str, events: int, score: Score, rules: RuleSet, now_ms: int) -> dict[str, object]:
    titles = {each.rule.id: each.rule.title for each in rules.badges}
    return {
        "id": name,
        "events": events,
        "facts": [
            {
                "fact_id": fact.detail["factId"],
                "fact_type": fact.detail["factType"],
                "fields": fact.detail.get("fields", {}),
                "event_id": render_evt(fact.event_id),
                "timestamp": render_time_short(fact.at_ms),
            }
            for fact in score.facts
        ],
        "challenges": [_progress(each, name, score.state, now_ms) for each in rules.challenges],
        "badges": [{"id": each.badge, "title": titles.get(each.badge, "")} | _award(each) for each in score.awards],
        "points": {
            "balance": score.balance,
            "ledger": [
                {
                    "points": grant.points,
                    "kind": grant.kind,
                    "rule": grant.rule_id,
                    "event_id": render_evt(grant.event_id),
                    "timestamp": render_time_short(grant.at_ms),
                }
                for grant in score.grants
            ],
        },
    }


def _progress(challenge: Challenge, name: str, state: State, now_ms: int) -> dict[str, object]:
    standing = state.standing(challenge.no, name)
    return {
        "id": challenge.rule.id,
        "title": challenge.rule.title,
        "goal": challenge.rule.goal,
        "progress": _number(format(challenge.value(state, name, now_ms), "f")),
        "best": _number(standing.best),
        "completions": standing.completions,
    }


def _challenge(challenge: Challenge, rules: RuleSet, participants: int, completed: int) -> dict[str, object]:
    rule = challenge.rule
    return {
        "id": rule.id,
        "title": rule.title,
        "description": rule.description,
        "version": rules.rules[challenge.no][2],
        "fact": rule.fact,
        "measure": rule.measure,
        "goal": rule.goal,
        "window": rule.window,
        "time_zone": rule.time_zone,
        "repeat": rule.repeat,
        "points": rule.points,
        "participants": participants,
        "completed_by": completed,
    }


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


def _award(award: Award) -> dict[str, Any]:
    return {"event_id": render_evt(award.event_id), "awarded_at": render_time_short(award.at_ms)}


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _page(pairs: Pairs) -> tuple[int, int]:
    given = {name: value for name, value in pairs if value}
    offset = integer_of(given["offset"], "offset") if "offset" in given else 0
    if not 0 <= offset <= _MAX_OFFSET:
        raise InvalidRequest(f"'offset' must be 0 to {_MAX_OFFSET}; it is {offset}.")
    return native.parse_limit(given), offset


def _flag(pairs: Pairs, name: str) -> bool:
    value = dict(pairs).get(name) or "false"
    if value not in ("true", "false", "1", "0"):
        raise InvalidRequest(f"{name!r} must be true or false; it is {value[:80]!r}.")
    return value in ("true", "1")
