"""Decides which rules to put aside: those whose condition was too costly to evaluate for consecutive events. Pure.

A rule is put aside for one project and mode once that has happened for a number of consecutive events over a period of time.
Both are required, so that neither a few large events nor a burst of them disables a rule that is evaluated for other events. A
rule put aside costs nothing; applying a document brings it back. docs/decisions/0107-rules-put-aside.md says why.
"""

import msgspec

from headrace.model.event import position_of, received_at_ms
from headrace.model.reaction_state import Overrun, State
from headrace.reactions.event_facts import EventFacts
from headrace.reactions.ruleset import RuleSet


class Limits(msgspec.Struct, frozen=True):
    """When a rule is put aside: after this many consecutive events that arrived over at least this time."""

    events: int = 100
    milliseconds: int = 600_000


def follow(rules: RuleSet, seen: EventFacts, held: dict[int, Overrun], limits: Limits, state: State, /) -> bool:
    """Count one event in `held` and in `state`. Returns whether a rule was put aside at it."""
    is_new = False
    too_costly = {failure.rule_no: failure for failure in seen.failures if failure.too_costly}
    for rule_no in seen.about:
        overrun = held.get(rule_no)
        if overrun is not None and not overrun.is_aside and rule_no not in too_costly:
            del held[rule_no]
            state.overruns[rule_no] = None
    for rule_no, failure in too_costly.items():
        overrun = held.get(rule_no)
        if rule_no not in rules.rules or (overrun is not None and overrun.is_aside):
            continue
        now_ms = received_at_ms(position_of(seen.event_id))
        first_ms = now_ms if overrun is None else overrun.first_ms
        events = 1 if overrun is None else overrun.events + 1
        is_aside = events >= limits.events and now_ms - first_ms >= limits.milliseconds
        held[rule_no] = state.overruns[rule_no] = Overrun(events, first_ms, seen.event_id, failure.why, is_aside)
        is_new = is_new or is_aside
    return is_new
