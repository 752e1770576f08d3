"""What each rule means, as a version, and what differs between two documents. Pure.

A rule's **meaning** is what decides who gets what; its version is the hash of that. Titles, descriptions and points are no
part of it. A challenge's meaning includes that of the fact rules which feed it, for they decide what it counts.
"""

from hashlib import blake2b
from typing import Any, Literal

import msgspec

from headrace.reactions.journeys.document import JourneyRule
from headrace.reactions.patterns import overlap
from headrace.reactions.rules import (
    DEFAULT_TYPE,
    BadgeRule,
    ChallengeRule,
    Document,
    FactRule,
    Kind,
    Rule,
    goal_of,
    type_pattern,
)


def version_of(kind: Kind, rule: Rule, document: Document, /) -> str:
    """The hash of a rule's meaning within its document: 16 hex digits."""
    return blake2b(
        msgspec.json.encode(_meaning(kind, rule, document), order="deterministic"), digest_size=8
    ).hexdigest()


def _meaning(kind: Kind, rule: Rule, document: Document) -> object:
    own = msgspec.to_builtins(rule)
    for wording in ("title", "description", "points"):
        own.pop(wording, None)
    match rule:
        case FactRule():
            pass
        case JourneyRule():
            _drop_titles(own["steps"])
        case ChallengeRule():
            own["goal"] = str(goal_of(rule).normalize())
            own["fed_by"] = _fed_by(rule.fact, document)
        case BadgeRule():
            if rule.fact is not None:
                own["fed_by"] = _fed_by(rule.fact, document)
            own["challenge"] = [
                _meaning("challenge", each, document) for each in document.challenges if each.id == rule.challenge
            ]
    return [kind, own]


def _drop_titles(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        step.pop("title", None)
        for branch in ("then", "else"):
            _drop_titles(step.get("branch", {}).get(branch, []))


def _fed_by(pattern: str, document: Document) -> list[object]:
    """The fact rules that make such facts, and those that make others of events which would have been such by default."""
    rules = [
        rule
        for rule in sorted(document.facts, key=lambda rule: rule.id)
        if overlap(pattern, type_pattern(rule)) or overlap(pattern, DEFAULT_TYPE + rule.event)
    ]
    return [_meaning("fact", rule, document) for rule in rules]


def content_version(document: Document, /) -> str:
    """The hash of a whole document: 16 hex digits, the same for the same content however it is laid out."""
    return blake2b(msgspec.json.encode(document, order="deterministic"), digest_size=8).hexdigest()


class Change(msgspec.Struct, frozen=True):
    """What applying a document does to one rule; `starts_anew`: progress made so far no longer counts.

    Runs of a changed or removed journey go on by the version that they began with.
    """

    kind: Kind
    id: str
    change: Literal["added", "removed", "changed", "reworded"]
    starts_anew: bool


def changes(before: Document, after: Document, /) -> list[Change]:
    """What differs between two documents, removed rules last."""
    old: dict[tuple[Kind, str], tuple[Rule, str]] = {
        (kind, rule.id): (rule, version_of(kind, rule, before)) for kind, rule in before.all()
    }
    found: list[Change] = []
    for kind, rule in after.all():
        was = old.pop((kind, rule.id), None)
        if was is None:
            found.append(Change(kind, rule.id, "added", False))
        elif was[1] != version_of(kind, rule, after):
            found.append(Change(kind, rule.id, "changed", kind != "journey"))
        elif was[0] != rule:
            found.append(Change(kind, rule.id, "reworded", False))
    return found + [Change(kind, rule_id, "removed", False) for kind, rule_id in old]
