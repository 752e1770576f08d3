"""The progress of a person who has several ids, added up. Pure.

Progress is kept by the ids of events, so that undoing a merge needs no look back: buckets are sums, sets or runs of days, and no
event is in the buckets of two.
"""

from headrace.model.reaction_state import State
from headrace.reactions.ruleset import RuleSet


def add_up(rules: RuleSet, state: State, participant: str, /) -> None:
    """Have the loaded buckets of a participant be those of all its ids."""
    ids = state.ids_of(participant)
    if len(ids) == 1:
        return
    for challenge in rules.challenges:
        together = challenge.together([state.buckets.get((challenge.no, each), {}) for each in ids])
        if together:
            state.buckets[challenge.no, participant] = together
