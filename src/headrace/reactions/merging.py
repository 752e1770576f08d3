"""Merges the scores of participants that are one person. Pure; stored state does not change.

Progress stays with the ids in events, so undoing a merge does not need the history. Here it is added up: buckets are sums, sets
or runs of days, and no event is in the buckets of two ids. What a person may have only once counts once.
"""

from collections.abc import Iterable, Mapping, Sequence

from headrace.model.reaction_state import Standing, State
from headrace.model.scores import Award, Entry, KeptFact, Score
from headrace.reactions.ruleset import RuleSet


def merged(rules: RuleSet, name: str, parts: Sequence[tuple[str, Score]], listed: int, /) -> Score:
    """The scores of participants, given by name, as the score of one person `name`.

    It has the loaded buckets, and the latest `listed` entries and facts. If a badge or a challenge that does not repeat has paid
    points to several of the ids, they count once while the rule is in force.
    """
    state, twice = State(), 0
    for challenge in rules.challenges:
        no = challenge.no
        buckets = challenge.together([score.state.buckets.get((no, each), {}) for each, score in parts])
        if buckets:
            state.buckets[no, name] = buckets
        standings = [score.state.standing(no, each) for each, score in parts]
        completed = sum(each.completions for each in standings)
        if not challenge.rule.repeat and completed > 1:
            twice += challenge.rule.points * (completed - 1)
            completed = 1
        best = max((each.best for each in standings), key=challenge.size, default="0")
        state.standings[no, name] = Standing(completed, best)
    awards = _first_awards(name, (award for _, score in parts for award in score.awards))
    holders = _holders(parts)
    twice += sum(badge.rule.points * (holders.get(badge.rule.id, 1) - 1) for badge in rules.badges)
    entries: list[Entry] = sorted((each for _, score in parts for each in score.entries), key=lambda each: each.place)
    facts: list[KeptFact] = sorted((each for _, score in parts for each in score.facts), key=lambda each: each.event_id)
    balance = sum(score.balance for _, score in parts) - twice
    return Score(state, awards, balance, entries[::-1][:listed], facts[::-1][:listed])


def _first_awards(name: str, awards: Iterable[Award]) -> list[Award]:
    """The first award of each badge, in the order in which they were earned."""
    found: dict[str, Award] = {}
    for each in sorted(awards, key=lambda award: (award.at_ms, award.event_id)):
        found.setdefault(each.badge, Award(name, each.badge, each.event_id, each.at_ms))
    return sorted(found.values(), key=lambda award: (award.at_ms, award.badge))


def _holders(parts: Sequence[tuple[str, Score]]) -> Mapping[str, int]:
    """By badge: the number of participants who hold it."""
    found: dict[str, int] = {}
    for _, score in parts:
        for award in score.awards:
            found[award.badge] = found.get(award.badge, 0) + 1
    return found
