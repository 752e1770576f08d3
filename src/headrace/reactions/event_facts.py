"""An event's facts under the rules, and the state that reacting to it needs. Pure."""

from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from headrace.model.event import Event, position_of, render_evt
from headrace.model.reaction_state import Needs, Overrun
from headrace.reactions.facts import Fact, Failure, facts_of
from headrace.reactions.journeys.stage import seen_of
from headrace.reactions.journeys.transitions import Seen
from headrace.reactions.ruleset import Named, RuleSet

NO_OVERRUNS: Mapping[int, Overrun] = {}


class EventFacts(msgspec.Struct, frozen=True):
    """What reactions need of an event.

    relevant: whether a rule made a fact of it, something counts its default fact, or a journey is about it.
    seen: the event itself, if a journey is about it.
    about: which of the watched rules were evaluated for it, or would have been.
    """

    event_id: str
    participant: str
    at_ms: int
    facts: list[Fact]
    failures: list[Failure]
    relevant: bool
    seen: Seen | None = None
    about: Sequence[int] = ()


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
    """An event's facts under the rules.

    replayed_at_ms: when the event is replayed, for journeys; None if it is not.
    overruns: rules that were too costly for the latest events, by number; those put aside are not evaluated.
    watched: rules that `about` may list.
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


def needs(
    rules: RuleSet, events: Iterable[EventFacts], /, *, replayed: bool = False, whole: Sequence[str] = ()
) -> Needs:
    """The state that is needed to react to some events, or to replay them. whole: ids that are to be regrouped."""
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
    return Needs(
        event_ids,
        sorted(participants),
        spans,
        sorted(travellers),
        others=others,
        whole=whole,
        rule_nos=progress_of(rules) if whole else (),
    )


def progress_of(rules: RuleSet, /) -> list[int]:
    """The numbers of the rules that keep progress."""
    return [each.no for each in rules.challenges] + [each.no for each in rules.badges if each.rule.fact]
