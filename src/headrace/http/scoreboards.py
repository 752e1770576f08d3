"""The native routes for the results of reactions: participants, challenges, badges. Each parses, asks, and renders."""

from collections.abc import Mapping, Sequence
from typing import Any

import falcon
import falcon.asgi

from headrace.assembly.capabilities.people import PeopleDirectory
from headrace.assembly.capabilities.scoreboard import SettledScoreboard
from headrace.assembly.clock import clock_ms
from headrace.dialects import native, native_scores
from headrace.http.gate import parameters
from headrace.http.handler import Handlers
from headrace.model.errors import NotFound
from headrace.model.event import Tenant, render_evt
from headrace.model.reaction_state import State
from headrace.model.scores import Award, Board, Score
from headrace.model.times import render_time_short
from headrace.ports.scores import Scores
from headrace.reactions import merging
from headrace.reactions.challenges import Challenge
from headrace.reactions.document import Level, level_of
from headrace.reactions.ruleset import RuleSet

_NOTHING = Score(State(), [], 0, [], [])


def _reply(resp: falcon.asgi.Response, data: object, meta: object = None) -> None:
    resp.data = native.render_data(data, meta)


class Scoreboards:
    def __init__(self, scoreboard: SettledScoreboard, people: PeopleDirectory) -> None:
        self._scoreboard = scoreboard
        self._people = people

    def handlers(self) -> Handlers:
        return {
            "participant": self.participant,
            "challenges": self.challenges,
            "leaderboard": self.leaderboard,
            "badges": self.badges,
            "holders": self.holders,
        }

    async def participant(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        name = path["participant_id"]
        person = await self._people.one(tenant, name)
        ids = person.ids if person else [name]
        events = await self._scoreboard.count_events(tenant, name)
        score, rules, now_ms = await self._score(tenant, ids)
        if score is None and not events:
            raise NotFound(f"There is no participant {name[:200]!r}.")
        _reply(resp, _participant(ids[0], events, score or _NOTHING, rules, now_ms))

    async def scores_of(self, tenant: Tenant, ids: Sequence[str], /) -> dict[str, object]:
        """The participant view of a person with these ids, without `id` and `events`."""
        score, rules, now_ms = await self._score(tenant, ids)
        shown = _participant(ids[0], 0, score or _NOTHING, rules, now_ms)
        return {field: value for field, value in shown.items() if field not in ("id", "events")}

    async def _score(self, tenant: Tenant, ids: Sequence[str]) -> tuple[Score | None, RuleSet, int]:
        now_ms = clock_ms()

        def ask(board: Scores, rules: RuleSet) -> Score | None:
            found = _read(board, tenant, ids[0], rules, now_ms)
            if found is not None:
                merging.add_up(rules, found.state, ids[0])
            return found

        score, rules = await self._scoreboard.ask(tenant, ask)
        return score, rules, now_ms

    async def challenges(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        counts, rules = await self._scoreboard.ask(
            tenant, lambda board, rules: board.challenge_counts(tenant, [each.no for each in rules.challenges])
        )
        _reply(resp, [_challenge(each, rules, *counts.get(each.no, (0, 0))) for each in rules.challenges])

    async def leaderboard(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        challenge_id = path["challenge_id"]
        asked = native_scores.parse_board(parameters(req))

        def ask(board: Scores, rules: RuleSet) -> Board | None:
            challenge = next((each for each in rules.challenges if each.rule.id == challenge_id), None)
            if challenge is None:
                raise NotFound(f"There is no challenge {challenge_id[:80]!r}.")
            return board.leaderboard(tenant, challenge.no, asked.limit, asked.offset, around=asked.around)

        found, _ = await self._scoreboard.ask(tenant, ask)
        resp.data = native_scores.render_board(asked, found, native_scores.challenge_scores)

    async def badges(
        self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        counts, rules = await self._scoreboard.ask(tenant, lambda board, _: board.holder_counts(tenant))
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

    async def holders(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, path: Mapping[str, str]
    ) -> None:
        badge_id = path["badge_id"]
        limit, offset = native_scores.parse_page({name: value for name, value in parameters(req) if value})
        held, rules = await self._scoreboard.ask(
            tenant, lambda board, _: board.holders(tenant, badge_id, limit, offset)
        )
        if not held and not offset and all(each.rule.id != badge_id for each in rules.badges):
            raise NotFound(f"There is no badge {badge_id[:80]!r}.")
        _reply(
            resp,
            [{"participant": each.participant} | _award(each) for each in held],
            {"limit": limit, "offset": offset},
        )


def _read(board: Scores, tenant: Tenant, name: str, rules: RuleSet, now_ms: int) -> Score | None:
    spans = [
        (challenge.no, *challenge.span(bucket))
        for challenge in rules.challenges
        if (bucket := challenge.current_bucket(now_ms)) is not None
    ]
    return board.participant(tenant, name, spans)


def _participant(name: str, events: int, score: Score, rules: RuleSet, now_ms: int) -> dict[str, object]:
    titles = {each.rule.id: each.rule.title for each in rules.badges}
    reached, following = level_of(rules.document.levels, score.balance)
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
        "level": _level(reached),
        "next_level": _next_level(following, score.balance),
        "points": {
            "balance": score.balance,
            "ledger": [native_scores.entry_value(entry) for entry in score.entries],
        },
    }


def _progress(challenge: Challenge, name: str, state: State, now_ms: int) -> dict[str, object]:
    standing = state.standing(challenge.no, name)
    return {
        "id": challenge.rule.id,
        "title": challenge.rule.title,
        "goal": challenge.rule.goal,
        "progress": native_scores.number_of(format(challenge.value(state, name, now_ms), "f")),
        "best": native_scores.number_of(standing.best),
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
        "freezes": rule.freezes,
        "ahead": rule.ahead,
        "back": rule.back,
        "points": rule.points,
        "participants": participants,
        "completed_by": completed,
    }


def _award(award: Award) -> dict[str, Any]:
    return {"event_id": render_evt(award.event_id), "awarded_at": render_time_short(award.at_ms)}


def _level(level: Level | None) -> dict[str, object] | None:
    return None if level is None else {"id": level.id, "title": level.title, "points": level.points}


def _next_level(level: Level | None, balance: int) -> dict[str, object] | None:
    """A level, with the number of points missing for it."""
    if level is None:
        return None
    return {"id": level.id, "title": level.title, "points": level.points, "missing": level.points - balance}
