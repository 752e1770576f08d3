"""The reactions stage: computes the effects of events. Pure: rules, an event and the state give effects and the new state.

The event's default fact, `custom.<name>`, can always be derived from the event again. So it is never stored, and counts as caused
once the event is in the log.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from headrace.model.event import Event, position_of, received_ms_of, render_evt
from headrace.model.reaction_state import Caused, Needs, Overrun, State
from headrace.reactions.badges import Badge
from headrace.reactions.challenges import Challenge
from headrace.reactions.document import DEFAULT_TYPE, Document, Kind, Rule
from headrace.reactions.facts import Fact, FactMaker, Failure, facts_of
from headrace.reactions.journeys.machine import Seen
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.stage import Change, Journeys, JourneySet, seen_of
from headrace.reactions.meaning import version_of
from headrace.reactions.patterns import matches, overlap

_MAX_REMEMBERED = 10_000  # of names and types, which clients choose
NO_OVERRUNS: Mapping[int, Overrun] = {}


class Named(msgspec.Struct, frozen=True):
    """What the rules want of events of one name. `default_fields`: what is wanted of the default fact; None: not even that.

    journeys: whether such events may start, move or end a run.
    """

    makers: list[FactMaker]
    default_fields: frozenset[str] | None
    journeys: bool = False


class Listeners(msgspec.Struct, frozen=True):
    """The rules that facts of one type affect: challenges, badges that count such facts, and badges that depend on those."""

    challenges: list[Challenge]
    counting: list[Badge]
    badges: list[Badge]


class EventFacts(msgspec.Struct, frozen=True):
    """An event, as far as reactions go on from it. `relevant`: a rule made a fact of it, or something listens to its default.

    seen: the event itself, where a journey is about it.
    """

    event_id: str
    participant: str
    at_ms: int
    facts: list[Fact]
    failures: list[Failure]
    relevant: bool
    seen: Seen | None = None
    about: Sequence[int] = ()  # of the rules that are watched, those that were evaluated for it or would have been


class RuleSet:
    """A project's rules, ready to run. `numbers` are those of the rules' versions.

    Other versions of journeys that persons may be in: see `learn`.
    """

    def __init__(
        self,
        document: Document,
        version: str,
        numbers: Mapping[tuple[Kind, str], int],
        others: Mapping[int, Sequence[int]] = {},
    ) -> None:
        """others: by the number of a rule, those of its other versions, past ones for the most part."""
        self.document = document
        self.version = version
        self.others = others
        self.rules: dict[int, tuple[Kind, Rule, str]] = {
            numbers[kind, rule.id]: (kind, rule, version_of(kind, rule, document)) for kind, rule in document.all()
        }
        self.makers = [FactMaker(rule, numbers["fact", rule.id]) for rule in document.facts]
        self.challenges = [Challenge(rule, numbers["challenge", rule.id]) for rule in document.challenges]
        self.badges = [
            Badge(rule, numbers["badge", rule.id], numbers["challenge", rule.challenge] if rule.challenge else None)
            for rule in document.badges
        ]
        self.journeys = JourneySet([Journey(rule, numbers["journey", rule.id]) for rule in document.journeys])
        self._default_patterns = [
            (pattern, fields)
            for pattern, fields in (
                *((each.rule.fact, [each.field] if each.field else []) for each in self.challenges),
                *((each.rule.fact, []) for each in self.badges if each.rule.fact),
            )
            if overlap(pattern, f"{DEFAULT_TYPE}*")
        ]
        self._named: dict[str, Named | None] = {}
        self._listeners: dict[str, Listeners] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no event causes anything by these."""
        return not self.rules and not self.journeys.by_no

    def learn(self, journeys: Iterable[Journey], /) -> None:
        """Know versions of journeys that came before or come after these rules: runs may be of any of them."""
        if self.journeys.learn(journeys):
            self._named = {}

    def named(self, name: str, /) -> Named | None:
        """The rules for events of a name; None if there are none."""
        try:
            return self._named[name]
        except KeyError:
            pass
        makers = [maker for maker in self.makers if matches(maker.rule.event, name)]
        wanting = [fields for pattern, fields in self._default_patterns if matches(pattern, DEFAULT_TYPE + name)]
        fields = frozenset(field for each in wanting for field in each) if wanting else None
        concerns = self.journeys.concern(name)
        found = Named(makers, fields, concerns) if makers or wanting or concerns else None
        if len(self._named) >= _MAX_REMEMBERED:
            self._named.clear()
        self._named[name] = found
        return found

    def listeners(self, fact_type: str, /) -> Listeners:
        try:
            return self._listeners[fact_type]
        except KeyError:
            pass
        challenges = [each for each in self.challenges if matches(each.rule.fact, fact_type)]
        counting = [each for each in self.badges if each.rule.fact and matches(each.rule.fact, fact_type)]
        moved = {each.no for each in challenges}
        following: list[Badge] = []
        ids: set[str] = set()
        for badge in self.badges:  # a badge comes after those that it depends on
            if badge in counting or badge.challenge_no in moved or ids.intersection(badge.rule.badges or ()):
                following.append(badge)
                ids.add(badge.rule.id)
        if len(self._listeners) >= _MAX_REMEMBERED:
            self._listeners.clear()
        found = self._listeners[fact_type] = Listeners(challenges, counting, following)
        return found

    def names(self, rule_no: int, /) -> tuple[str, str]:
        """The id and version of a rule of a number, of earlier versions of journeys too; empty for an unknown one."""
        if found := self.rules.get(rule_no):
            return found[1].id, found[2]
        journey = self.journeys.by_no.get(rule_no)
        return (journey.rule.id, version_of("journey", journey.rule, Document())) if journey else ("", "")


def facts_of_event(
    rules: RuleSet,
    event_id: str,
    event: Event,
    /,
    replayed_at_ms: int | None = None,
    *,
    overruns: Mapping[int, Overrun] = NO_OVERRUNS,
    watched: Collection[int] = (),
) -> EventFacts:
    """An event's facts under the rules. replayed_at_ms: set where the event comes once more, for journeys.

    overruns: by number, the rules that were too costly for the latest events; those that were put aside are not evaluated.
    watched: the rules of which `about` is to say whether they are about the event.
    """
    named = rules.named(event.name) or Named([], None)
    makers = named.makers
    aside: list[Failure] = []
    if overruns:
        aside = [_put_aside(maker.no, held) for maker in makers if (held := overruns.get(maker.no)) and held.is_aside]
        passed = {failure.rule_no for failure in aside}
        makers = [maker for maker in makers if maker.no not in passed]
    facts, failures = facts_of(event_id, event, makers, named.default_fields or frozenset())
    relevant = named.default_fields is not None or facts[0].rule_no != 0
    participant = event.user_id or event.anonymous_id
    seen = None
    if named.journeys and participant:
        relevant, seen = True, seen_of(event_id, event, position_of(event_id), replayed_at_ms)
    about = [maker.no for maker in makers if maker.no in watched] if watched else ()
    return EventFacts(event_id, participant, event.timestamp_ms, facts, failures + aside, relevant, seen, about)


def _put_aside(rule_no: int, overrun: Overrun) -> Failure:
    why = f"the rule was put aside at {render_evt(overrun.event_id)}: {overrun.why}"
    return Failure(rule_no, why, too_costly=True)


def needs(rules: RuleSet, events: Iterable[EventFacts], /, *, replayed: bool = False) -> Needs:
    """What has to be remembered to react to the events, or to react to them again."""
    event_ids: list[str] = []
    participants: set[str] = set()
    travellers: set[str] = set()
    spans: dict[tuple[int, int, int], set[str]] = {}
    for seen in events:
        event_ids.append(seen.event_id)
        if not seen.participant:
            continue
        participants.add(seen.participant)
        if seen.seen is not None:
            travellers.add(seen.participant)
        for fact in seen.facts:
            listeners = rules.listeners(fact.type)
            for challenge in listeners.challenges:
                bucket = challenge.bucket(seen.at_ms)
                if bucket is not None:
                    spans.setdefault((challenge.no, *challenge.span(bucket)), set()).add(seen.participant)
            for badge in listeners.counting:
                spans.setdefault((badge.no, 0, 0), set()).add(seen.participant)
    others = (
        {each.no: rules.others[each.no] for each in rules.challenges if each.no in rules.others} if replayed else {}
    )
    return Needs(event_ids, sorted(participants), spans, sorted(travellers), others=others)


def react(
    rules: RuleSet, seen: EventFacts, state: State, /, *, force: bool = False, replayed: bool = False
) -> tuple[list[Caused], int]:
    """React to one event: its new effects, and the number of earlier ones that are not caused again. Updates `state`.

    replayed: the event comes once more, which is for journeys to know. `force`: effects that the event had before under the
    same versions happen again, in a new generation; they add no progress, badge or points, which each event counts towards
    once. A journey is started again as its entry limits allow.
    Points are paid as far as other versions of the same rule have not paid them: a fact rule for this event, a challenge to this
    participant (where `state` has its credits, which it has when events are replayed). A badge is earned once in any case.
    """
    before = [effect for effect in state.caused.get(seen.event_id, ()) if effect.rule_no in rules.rules]
    default = [_fact_effect(seen, fact) for fact in seen.facts if not fact.rule_no]
    effects: list[Caused] = []
    if force:
        again = [each for each in before if each.kind != "journey"]
        effects = default + [msgspec.structs.replace(each, generation=each.generation + 1) for each in again]
        for effect in effects[len(default) :]:
            state.cause(effect)
    happened = {(effect.rule_no, effect.ordinal) for effect in before}
    new = _Effects(rules, seen, state, happened)
    for fact in seen.facts:
        if fact.rule_no:
            new.add(fact.rule_no, _fact_effect(seen, fact))
    if seen.participant:
        _move_challenges(rules, seen, state, new)
        _award_badges(rules, seen, state, new)
        if seen.seen is not None:
            _move_runs(rules, seen, seen.seen, state, new, force=force, replayed=replayed)
    return effects + new.found, 0 if force else len(before) + len(default)


class _Effects:
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
            self._pay(rule_no, kind, points)
        return True

    def _pay(self, rule_no: int, kind: Kind, points: int) -> None:
        participant = self._seen.participant
        credited = 0
        if kind == "fact":
            points -= self._paid_by_others(rule_no)
        else:
            credited = min(points, self._state.credits.get((rule_no, participant), 0))
            points -= credited
        if points > 0 or credited:
            detail: dict[str, object] = {"points": points, "for": kind}
            if credited:
                detail["credited"] = credited
            granted = _effect(self._seen, rule_no, "points", detail, ordinal=1)
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


def _move_challenges(rules: RuleSet, seen: EventFacts, state: State, new: _Effects) -> None:
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
            new.add(challenge.no, _effect(seen, challenge.no, "challenge", detail))


def _award_badges(rules: RuleSet, seen: EventFacts, state: State, new: _Effects) -> None:
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
    for badge in rules.badges if following else ():  # in their order: one badge may earn another
        if badge.no not in following or badge.rule.id in state.held.get(seen.participant, ()):
            continue
        if badge.rule.id in state.revoked.get(seen.participant, ()):
            continue
        if badge.is_earned(seen.participant, state):
            effect = _effect(seen, badge.no, "badge", {"badgeId": badge.rule.id})
            if new.add(badge.no, effect):
                state.award(seen.participant, badge.rule.id, effect)


def _move_runs(
    rules: RuleSet, facts: EventFacts, seen: Seen, state: State, new: _Effects, *, force: bool, replayed: bool
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
        effect = _journey_effect(facts, change, 0 if entered else ordinal)
        if entered and change.run.rule_no in begun:
            effect = msgspec.structs.replace(effect, generation=begun[change.run.rule_no] + 1)
        new.keep(effect)


def journeys_in(knows: Mapping[int, Journey], state: State, /) -> Journeys:
    """What lets events and timers act on the runs in a state. knows: the versions that they are of, by number."""

    def fail(rule_no: int, event_id: str, why: str, too_costly: bool) -> None:
        state.fail(rule_no, event_id, why, too_costly=too_costly)

    return Journeys(knows, state.journeys, state.person_of, fail)


def _journey_effect(facts: EventFacts, change: Change, ordinal: int) -> Caused:
    run = change.run
    detail: dict[str, object] = {
        "journeyId": run.journey,
        "runId": run.id,
        "did": change.did,
        "step": change.step or None,
    }
    return _effect(facts, run.rule_no, "journey", detail, ordinal)


def _fact_effect(seen: EventFacts, fact: Fact) -> Caused:
    detail: dict[str, object] = {"factId": fact.id, "factType": fact.type}
    if fact.fields and fact.rule_no:
        detail["fields"] = fact.fields
    return _effect(seen, fact.rule_no, "fact", detail)


def _effect(seen: EventFacts, rule_no: int, kind: str, detail: dict[str, object], ordinal: int = 0) -> Caused:
    return Caused(seen.event_id, rule_no, ordinal, 0, kind, seen.participant, seen.at_ms, detail)
