"""What the Ledger and Scores ports promise of ranks and pages, on both databases: the same as ten lines over a list."""

from random import Random
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control.balances import change_balances
from headrace.control.database import insert, writing
from headrace.control.ledger import ControlLedger
from headrace.control.participants import give_numbers
from headrace.control.scoreboard import Scoreboard
from headrace.control.tables.ledger import points
from headrace.control.tables.scores import standings
from headrace.model.event import Tenant, event_id, first_position
from headrace.model.scores import Board
from headrace.ports.ledger import Ledger
from headrace.ports.scores import Scores

TENANT, OTHER = Tenant("p", "live"), Tenant("p", "test")
NAMES = [*(f"user-{number:02}" for number in range(30)), "é", "a/b", "%_x", "\x00"]


def fill(engine: Engine, seed: int = 1) -> list[tuple[str, str, int, int]]:
    """Entries (id, participant, points, time) of a tenant, and as many of another one's."""
    chance = Random(seed)
    found: list[tuple[str, str, int, int]] = []
    with writing(engine) as connection:
        for tenant in (TENANT, OTHER):
            numbers = give_numbers(connection, tenant, NAMES)
            for number in range(120):
                name, worth, at_ms = chance.choice(NAMES), chance.choice((-5, 1, 2, 5, 5)), chance.randrange(1000)
                each = event_id(first_position(1_000_000 + number) + (tenant is OTHER), 1)
                row: dict[str, Any] = {"event_id": each, "rule_no": 0, "ordinal": 0, "participant_no": numbers[name]}
                row |= {"points": worth, "at_ms": at_ms, "kind": "granted", "reason": f"because of {number}"}
                connection.execute(insert(connection, points).values(row))
                change_balances(connection, tenant, {numbers[name]: worth})
                if tenant is TENANT:
                    found.append((each, name, worth, at_ms))
    return found


def ranked(scores: dict[str, Any]) -> list[tuple[int, str, Any]]:
    """(rank, name, score), the greatest first, then by name; equal scores share a rank."""
    order = sorted(scores, key=lambda name: ([-each for each in scores[name]], name))
    return [(1 + sum(scores[other] > scores[name] for other in order), name, scores[name]) for name in order]


def shown(board: Board | None, *columns: str) -> list[tuple[int, str, Any]]:
    assert board is not None
    return [(row.rank, row.participant, tuple(row.scores[each] for each in columns)) for row in board.rows]


@pytest.mark.parametrize("window", [(None, None), (100, 600), (500, None), (None, 400)])
def test_a_leaderboard_by_points_is_a_brute_force_over_the_ledger(
    engine: Engine, window: tuple[int | None, int | None]
) -> None:
    entries = fill(engine)
    ledger: Ledger = ControlLedger(engine)
    from_ms, to_ms = window
    sums: dict[str, int] = {}
    for _, name, worth, at_ms in entries:
        if (from_ms is None or at_ms >= from_ms) and (to_ms is None or at_ms <= to_ms):
            sums[name] = sums.get(name, 0) + worth
    wanted = ranked({name: (worth,) for name, worth in sums.items() if worth})
    assert shown(ledger.leaderboard(TENANT, from_ms, to_ms, 100, 0), "points") == wanted
    for offset in range(0, len(wanted) + 3, 3):
        page = ledger.leaderboard(TENANT, from_ms, to_ms, 4, offset)
        assert shown(page, "points") == wanted[offset : offset + 4], "a rank does not depend on the page"
        assert page is not None
        assert (page.total, page.offset) == (len(wanted), offset)
    for place, (_, name, _) in enumerate(wanted):
        page = ledger.leaderboard(TENANT, from_ms, to_ms, 5, 0, around=name)
        begin = max(0, place - 2)
        assert shown(page, "points") == wanted[begin : begin + 5]
    assert ledger.leaderboard(TENANT, from_ms, to_ms, 5, 0, around="nobody") is None


def test_a_challenges_leaderboard_ranks_by_completions_then_by_the_best(engine: Engine) -> None:
    chance = Random(3)
    scores: dict[str, tuple[int, float]] = {}
    with writing(engine) as connection:
        for tenant in (TENANT, OTHER):
            for name, number in give_numbers(connection, tenant, NAMES).items():
                completions, best = chance.randrange(3), chance.choice((1.5, 2.0))
                row = {"participant_no": number, "rule_no": 7, "completions": completions}
                connection.execute(sa.insert(standings).values(row | {"best": str(best), "rank": best}))
                if tenant is TENANT:
                    scores[name] = (completions, best)
    wanted = ranked(scores)
    board: Scores = Scoreboard(engine)
    assert shown(board.leaderboard(TENANT, 7, 100, 0), "completions", "rank") == wanted
    for place, (_, name, _) in enumerate(wanted):
        page = board.leaderboard(TENANT, 7, 3, 0, around=name)
        assert shown(page, "completions", "rank") == wanted[max(0, place - 1) : max(0, place - 1) + 3]
    assert board.leaderboard(TENANT, 8, 3, 0, around="user-01") is None


@pytest.mark.parametrize("participant", [None, "user-03", "\x00", "nobody"])
@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_ledger_is_listed_once_newest_first_and_its_totals_are_those_of_all(
    engine: Engine, participant: str | None, size: int
) -> None:
    wanted = sorted((each for each in fill(engine) if participant in (None, each[1])), reverse=True)
    ledger: Ledger = ControlLedger(engine)
    after, found, more = "", [], True
    while more:
        page = ledger.entries(TENANT, participant, after, size)
        assert (page.total, page.points) == (len(wanted), sum(worth for _, _, worth, _ in wanted))
        found += [(entry.id, name, entry.points, entry.at_ms) for name, entry in page.entries]
        more = page.more
        after = page.entries[-1][1].place if page.entries else ""
    assert found == wanted


def test_participants_are_listed_once_by_name_with_their_balances(engine: Engine) -> None:
    entries = fill(engine)
    ledger: Ledger = ControlLedger(engine)
    after, found, more = "", [], True
    while more:
        page = ledger.participants(TENANT, after, 4)
        assert page.total == len(NAMES)
        found += [(each.name, each.points) for each in page.found]
        more, after = page.more, page.found[-1].name
    assert found == sorted((name, sum(worth for _, whose, worth, _ in entries if whose == name)) for name in NAMES)
