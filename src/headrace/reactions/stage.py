"""The reactions stage: computes the effects of events. Pure: rules, an event and the state give effects and the new state.

The event's default fact, `custom.<name>`, can always be derived from the event again. So it is never stored, and counts as caused
once the event is in the log.
"""

from collections.abc import Mapping

import msgspec

from headrace.model.event import received_ms_of
from headrace.model.reaction_state import Caused, State
from headrace.reactions.badges import Badge
from headrace.reactions.challenges import Challenge
from headrace.reactions.effects import NewEffects, effect_of, fact_effect, journey_effect
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.facts import Fact
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.stage import Journeys
from headrace.reactions.journeys.transitions import Seen
from headrace.reactions.ruleset import RuleSet


def react(
    rules: RuleSet, seen: EventFacts, state: State, /, *, force: bool = False, replayed: bool = False
) -> tuple[list[Caused], int]:
    """React to one event. Returns its new effects, and the number of earlier ones that are not caused again. Updates `state`.

    force: cause the effects again that the event had before under the same versions, in a new generation. They add no progress,
    badge or points, because each event counts towards those once. A journey is started again if its entry limits allow it.
    replayed: whether this is a replay, which journeys need to know.

    Points are paid only as far as other versions of the same rule have not paid them already: for a fact rule, for this event;
    for a challenge, to this participant (per the credits in `state`, which are loaded for replays). A badge is earned once.
    """
    before = [effect for effect in state.caused.get(seen.event_id, ()) if effect.rule_no in rules.rules]
    default = [fact_effect(seen, fact) for fact in seen.facts if not fact.rule_no]
    effects: list[Caused] = []
    if force:
        again = [each for each in before if each.kind != "journey"]
        effects = default + [msgspec.structs.replace(each, generation=each.generation + 1) for each in again]
        for effect in effects[len(default) :]:
            state.cause(effect)
    happened = {(effect.rule_no, effect.ordinal) for effect in before}
    new = NewEffects(rules, seen, state, happened)
    for fact in seen.facts:
        if fact.rule_no:
            new.add(fact.rule_no, fact_effect(seen, fact))
    if seen.participant:
        _move_challenges(rules, seen, state, new)
        _award_badges(rules, seen, state, new)
        if seen.seen is not None:
            _move_runs(rules, seen, seen.seen, state, new, force=force, replayed=replayed)
    return effects + new.found, 0 if force else len(before) + len(default)


def _move_challenges(rules: RuleSet, seen: EventFacts, state: State, new: NewEffects) -> None:
    moved: dict[int, tuple[Challenge, list[Fact]]] = {}
    for fact in seen.facts:
        for challenge in rules.listeners(fact.type).challenges:
            moved.setdefault(challenge.no, (challenge, []))[1].append(fact)
    received_ms = received_ms_of(seen.event_id) if moved else 0
    for challenge, facts in moved.values():
        bucket = challenge.bucket(seen.at_ms)
        if bucket is None or state.was_counted(seen.event_id, challenge.no):
            continue
        if why := challenge.untimely(seen.at_ms, received_ms):
            state.fail(challenge.no, seen.event_id, why)
            state.count(seen.event_id, challenge.no)  # so that a replay does not say it again
            continue
        times = challenge.count(facts, seen.participant, bucket, state)
        state.count(seen.event_id, challenge.no)
        if times:
            detail: dict[str, object] = {"challengeId": challenge.rule.id, "times": times}
            new.add(challenge.no, effect_of(seen, challenge.no, "challenge", detail))


def _award_badges(rules: RuleSet, seen: EventFacts, state: State, new: NewEffects) -> None:
    counts: dict[int, tuple[Badge, int]] = {}
    following: dict[int, Badge] = {}
    for fact in seen.facts:
        listeners = rules.listeners(fact.type)
        following |= {badge.no: badge for badge in listeners.badges}
        for badge in listeners.counting:
            counts[badge.no] = (badge, counts.get(badge.no, (badge, 0))[1] + 1)
    for badge, facts in counts.values():
        if not state.was_counted(seen.event_id, badge.no):
            badge.count(facts, seen.participant, state)
            state.count(seen.event_id, badge.no)
    participant = state.participant(seen.participant)
    for badge in rules.badges if following else ():  # in their order: one badge may earn another
        if badge.no not in following or badge.rule.id in state.held.get(participant, ()):
            continue
        if badge.rule.id in state.revoked.get(participant, ()):
            continue
        if badge.is_earned(participant, state):
            effect = effect_of(seen, badge.no, "badge", {"badgeId": badge.rule.id})
            if new.add(badge.no, effect):
                state.award(seen.participant, badge.rule.id, effect)


def _move_runs(
    rules: RuleSet, facts: EventFacts, seen: Seen, state: State, new: NewEffects, *, force: bool, replayed: bool
) -> None:
    caused = state.caused.get(facts.event_id, ())
    begun = {each.rule_no: each.generation for each in caused if each.kind == "journey" and not each.ordinal}

    def generation(journey: Journey) -> int | None:
        if journey.no not in begun:
            return 0
        return begun[journey.no] + 1 if force else None

    journeys = journeys_in(rules.journeys.by_no, state)
    ordinals = [each.ordinal for each in caused if each.kind == "journey"]
    ordinal = max(ordinals, default=0)
    for change in journeys.react(
        rules.journeys.current, seen, facts.participant, generations=generation, replayed=replayed
    ):
        entered = change.did == "entered"
        ordinal += not entered
        effect = journey_effect(facts, change, 0 if entered else ordinal)
        if entered and change.run.rule_no in begun:
            effect = msgspec.structs.replace(effect, generation=begun[change.run.rule_no] + 1)
        new.keep(effect)


def journeys_in(knows: Mapping[int, Journey], state: State, /) -> Journeys:
    """Lets events and timers act on the runs in a state. knows: the runs' versions, by number."""

    def fail(rule_no: int, event_id: str, why: str, too_costly: bool) -> None:
        state.fail(rule_no, event_id, why, too_costly=too_costly)

    return Journeys(knows, state.journeys, state.person_of, fail)
