"""Versions of rules by their meaning, and the differences between two documents. Pure.

A rule's **meaning** is what decides who gets what; its version is the hash of that. Titles, descriptions and points are no
part of it. A challenge's meaning includes what the fact rules that feed it let through, for that decides what it counts: not
their ids, and of the fields that they pick only the one that it measures.
"""

from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import msgspec

from headrace.model.journey_document import JourneyRule
from headrace.reactions.document import (
    DEFAULT_AHEAD,
    DEFAULT_TYPE,
    BadgeRule,
    ChallengeRule,
    Document,
    FactRule,
    Kind,
    Level,
    Rule,
    goal_of,
    measure_field,
    type_pattern,
)
from headrace.reactions.patterns import overlap


def version_of(kind: Kind, rule: Rule, document: Document, /) -> str:
    """The hash of a rule's meaning within its document: 16 hex digits."""
    return _hash(_meaning(kind, rule, document, _fed_by))


def former_version_of(kind: Kind, rule: Rule, document: Document, /) -> str:
    """As `version_of` was up to version 0.1: a fact rule's whole wording was part of what its challenges mean."""
    return _hash(_meaning(kind, rule, document, _formerly_fed_by))


def _hash(meaning: object) -> str:
    return blake2b(msgspec.json.encode(meaning, order="deterministic"), digest_size=8).hexdigest()


_FedBy: TypeAlias = Callable[[str, str | None, Document], list[object]]


def _meaning(kind: Kind, rule: Rule, document: Document, fed_by: _FedBy) -> object:
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
            if rule.ahead == DEFAULT_AHEAD:  # msgspec omits a default only where it is the same object
                own.pop("ahead", None)
            own["fed_by"] = fed_by(rule.fact, measure_field(rule), document)
        case BadgeRule():
            if rule.fact is not None:
                own["fed_by"] = fed_by(rule.fact, None, document)
            own["challenge"] = [
                _meaning("challenge", each, document, fed_by)
                for each in document.challenges
                if each.id == rule.challenge
            ]
    return [kind, own]


def _drop_titles(steps: list[dict[str, Any]]) -> None:
    for step in steps:
        step.pop("title", None)
        for branch in ("then", "else"):
            _drop_titles(step.get("branch", {}).get(branch, []))


def _fed_by(pattern: str, field: str | None, document: Document) -> list[object]:
    """What matters of the fact rules below: which events become which facts, and the field that is measured. Not their ids."""
    found: list[dict[str, str | None]] = []
    for rule in _feeding(pattern, document):
        own = {"event": rule.event, "when": rule.when, "fact_type": rule.fact_type}
        found.append(own | ({"field": rule.fields.get(field)} if field is not None else {}))
    return sorted(found, key=repr)  # pyright: ignore[reportReturnType]


def _formerly_fed_by(pattern: str, _field: str | None, document: Document) -> list[object]:
    rules = sorted(_feeding(pattern, document), key=lambda rule: rule.id)
    return [_meaning("fact", rule, document, _formerly_fed_by) for rule in rules]


def _feeding(pattern: str, document: Document) -> list[FactRule]:
    """The fact rules that make such facts, and those that make other facts of events that would be such by default."""
    return [
        rule
        for rule in document.facts
        if overlap(pattern, type_pattern(rule)) or overlap(pattern, DEFAULT_TYPE + rule.event)
    ]


def content_version(document: Document, /) -> str:
    """The hash of a whole document: 16 hex digits, independent of its layout."""
    return blake2b(msgspec.json.encode(document, order="deterministic"), digest_size=8).hexdigest()


class Change(msgspec.Struct, frozen=True):
    """What applying a document does to one rule; `starts_anew`: progress made so far no longer counts.

    Runs of a changed or removed journey go on by the version that they began with.
    """

    kind: Kind | Literal["level"]
    id: str
    change: Literal["added", "removed", "changed", "reworded"]
    starts_anew: bool


def changes(before: Document, after: Document, /) -> list[Change]:
    """The differences between two documents, removed rules last."""
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
    found += [Change(kind, rule_id, "removed", False) for kind, rule_id in old]
    return found + _changed_levels(before.levels, after.levels)


def _changed_levels(before: Sequence[Level], after: Sequence[Level]) -> list[Change]:
    old = {level.id: level for level in before}
    found: list[Change] = []
    for level in after:
        was = old.pop(level.id, None)
        if was is None:
            found.append(Change("level", level.id, "added", False))
        elif was != level:
            change = "changed" if was.points != level.points else "reworded"
            found.append(Change("level", level.id, change, False))
    return found + [Change("level", level_id, "removed", False) for level_id in old]
