"""Finds rules that miss events because of other rules in the same document, for warnings when it is applied. Pure."""

from headrace.model.errors import Problem
from headrace.reactions.document import DEFAULT_TYPE, Document, FactRule, type_pattern
from headrace.reactions.patterns import matches, overlap


def starved(document: Document, /) -> list[Problem]:
    """One warning for each rule and reason, at the place of the rule that misses events.

    An event that a fact rule matches is no longer the fact `custom.<name>`: a challenge or badge that counts those misses it.
    """
    found: list[Problem] = []
    counting = [(f"challenges[{index}]", rule.id, rule.fact) for index, rule in enumerate(document.challenges)]
    counting += [(f"badges[{index}]", rule.id, rule.fact) for index, rule in enumerate(document.badges) if rule.fact]
    for place, rule_id, pattern in counting:
        found += [
            Problem(f"{place}.fact", _said(rule_id, pattern, fact))
            for fact in document.facts
            if takes_away(fact, pattern)
        ]
    repeats = {rule.id: rule.repeat for rule in document.challenges}
    for index, badge in enumerate(document.badges):
        if badge.challenge is not None and badge.times > 1 and not repeats[badge.challenge]:
            detail = f"the challenge {badge.challenge!r} can be completed once, so this badge is never earned"
            found.append(Problem(f"badges[{index}].times", f"{detail}: add 'repeat: true' to the challenge"))
    return found


def takes_away(fact: FactRule, pattern: str, /) -> bool:
    """Whether the rule turns events that would become facts of the pattern into other facts."""
    makes_others = not overlap(pattern, type_pattern(fact))
    return makes_others and overlap(pattern, DEFAULT_TYPE + fact.event)


def _said(rule_id: str, pattern: str, fact: FactRule) -> str:
    events = f"events {fact.event!r}" if fact.when is None else f"events {fact.event!r} for which its condition holds"
    of_all = fact.when is None and not pattern.endswith("*") and matches(DEFAULT_TYPE + fact.event, pattern)
    return (
        f"{rule_id!r} counts {pattern!r}, but the fact rule {fact.id!r} turns {events} into {type_pattern(fact)!r}, "
        f"so {'it never counts anything' if of_all else 'it does not count those'}"
    )
