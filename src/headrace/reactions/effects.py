"""Makes effects and collects those that an event did not have before, with the points that go with them. Pure."""

from headrace.model.reaction_state import Caused, State
from headrace.reactions.document import Kind
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.facts import Fact
from headrace.reactions.journeys.stage import Change
from headrace.reactions.ruleset import RuleSet


class NewEffects:
    """Collects the effects that an event did not have before, and adds them to the state."""

    def __init__(self, rules: RuleSet, seen: EventFacts, state: State, happened: set[tuple[int, int]]) -> None:
        self.found: list[Caused] = []
        self._rules = rules
        self._seen = seen
        self._state = state
        self._happened = happened

    def add(self, rule_no: int, effect: Caused, /) -> bool:
        """Cause an effect and the points that go with it, unless the event caused it before."""
        if (rule_no, effect.ordinal) in self._happened:
            return False
        self.keep(effect)
        kind, rule, _ = self._rules.rules[rule_no]
        points = rule.points * int(str(effect.detail.get("times", 1)))
        if points and self._seen.participant:
            self._pay(rule_no, kind, points, effect.ordinal + 1)
        return True

    def _pay(self, rule_no: int, kind: Kind, points: int, ordinal: int) -> None:
        participant = self._seen.participant
        credited = 0
        if kind == "fact":
            points -= self._paid_by_others(rule_no)
        else:
            credited = min(points, self._state.credits.get((rule_no, self._state.participant(participant)), 0))
            points -= credited
        if points > 0 or credited:
            detail: dict[str, object] = {"points": points, "for": kind}
            if credited:
                detail["credited"] = credited
            granted = effect_of(self._seen, rule_no, "points", detail, ordinal)
            self.keep(granted)
            self._state.grant(participant, points, credited, granted)

    def _paid_by_others(self, rule_no: int) -> int:
        """The points that other versions of the rule have paid for this event."""
        others = self._rules.others.get(rule_no, ())
        caused = self._state.caused.get(self._seen.event_id, ()) if others else ()
        return sum(
            int(str(each.detail["points"])) for each in caused if each.kind == "points" and each.rule_no in others
        )

    def keep(self, effect: Caused, /) -> None:
        self.found.append(effect)
        self._state.cause(effect)


def journey_effect(facts: EventFacts, change: Change, ordinal: int, /) -> Caused:
    run = change.run
    detail: dict[str, object] = {
        "journeyId": run.journey,
        "runId": run.id,
        "did": change.did,
        "step": change.step or None,
    }
    return effect_of(facts, run.rule_no, "journey", detail, ordinal)


def fact_effect(seen: EventFacts, fact: Fact, /) -> Caused:
    detail: dict[str, object] = {"factId": fact.id, "factType": fact.type}
    if fact.fields and fact.rule_no:
        detail["fields"] = fact.fields
    return effect_of(seen, fact.rule_no, "fact", detail)


def effect_of(seen: EventFacts, rule_no: int, kind: str, detail: dict[str, object], /, ordinal: int = 0) -> Caused:
    """An effect under its key. A merge's effects have ordinals of their own: see regrouping."""
    return Caused(seen.event_id, rule_no, ordinal, 0, kind, seen.participant, seen.at_ms, detail)
