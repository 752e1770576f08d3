"""Rules that are written but not in force: what a document would run as, and the text of earlier ones. Applies nothing."""

import msgspec

from headrace.model.rulebook import Version
from headrace.pipeline.applying_rules import parse_document
from headrace.pipeline.rulesets import other_versions
from headrace.ports.rules import RuleStore
from headrace.reactions.document import Kind
from headrace.reactions.meaning import content_version, version_of
from headrace.reactions.ruleset import RuleSet
from headrace.reactions.source import render_source


def candidate(rulebook: RuleStore, project: str, text: bytes, /) -> RuleSet:
    """A document as rules that could run. Raises InvalidRules, ControlFailed.

    Rules that the project never had in this version have numbers below zero, under which no state is kept: they start anew.
    """
    document = parse_document(text)
    _, rows = rulebook.current(project) or (None, [])
    known = {(row.kind, row.rule_id, row.version): row.no for row in rows}
    numbers: dict[tuple[Kind, str], int] = {}
    for kind, rule in document.all():
        named = kind, rule.id, version_of(kind, rule, document)
        numbers[kind, rule.id] = known.get(named, -1 - len(numbers))
    return RuleSet(document, content_version(document), numbers, other_versions(numbers, rows))


def source_of(version: Version, /) -> str:
    """The text that was applied; made from the document if it was not kept."""
    return version.source or render_source(msgspec.json.decode(version.document))
