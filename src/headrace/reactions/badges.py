"""Badges: decides who has earned one. Pure. A participant keeps a badge, whatever happens to its rule, unless it is revoked."""

from headrace.model.reaction_state import State
from headrace.reactions.document import BadgeRule


class Badge:
    """A badge rule, ready to run. `no` is the number of its version, `challenge_no` that of its challenge."""

    def __init__(self, rule: BadgeRule, no: int, challenge_no: int | None) -> None:
        self.rule = rule
        self.no = no
        self.challenge_no = challenge_no

    def count(self, facts: int, id: str, state: State, /) -> None:  # noqa: A002
        """Add to the number of an id's facts that a fact-counting badge depends on."""
        state.put(self.no, id, 0, str(int(state.bucket(self.no, id, 0) or 0) + facts))

    def is_earned(self, participant: str, state: State, /) -> bool:
        if self.challenge_no is not None:
            return state.standing(self.challenge_no, participant).completions >= self.rule.times
        if self.rule.count is not None:
            counted = sum(int(state.bucket(self.no, each, 0) or 0) for each in state.ids_of(participant))
            return counted >= self.rule.count
        return state.held.get(participant, set()).issuperset(self.rule.badges or ())
