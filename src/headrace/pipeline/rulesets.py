"""Puts rules in force: parses and checks a document, says what it changes, and keeps it. Runs no rule."""

import msgspec

from headrace.control.rulebook import Rulebook, RuleRow, Version
from headrace.model.errors import InvalidRules
from headrace.reactions.meaning import Change, changes, content_version, version_of
from headrace.reactions.rules import Document, Kind, parse_rules
from headrace.reactions.source import parse_source, place
from headrace.reactions.stage import RuleSet


class Applied(msgspec.Struct, frozen=True):
    """`applied` is false for a dry run, and for what was in force already; then `changes` is empty."""

    version: str
    applied: bool
    changes: list[Change]


class InForce(msgspec.Struct, frozen=True):
    """A project's rules; `rows` are all versions of all rules that it ever had."""

    version: Version
    document: Document
    rows: list[RuleRow]


def parse_document(text: bytes, /) -> Document:
    """Raises InvalidRules, with the place of each problem."""
    value, lines = parse_source(text)
    try:
        return parse_rules(value)
    except InvalidRules as invalid:
        raise InvalidRules(place(invalid.problems, lines)) from None


def apply_rules(rulebook: Rulebook, project: str, text: bytes, now_ms: int, /, *, dry_run: bool) -> Applied:
    """Put a document in force, or only say what that would change. Raises InvalidRules, ControlFailed."""
    document = parse_document(text)
    found = changes(_before(rulebook, project), document)
    version = content_version(document)
    if dry_run:
        return Applied(version, False, found)
    meanings = [(kind, rule.id, version_of(kind, rule, document)) for kind, rule in document.all()]
    applied = rulebook.apply(project, version, msgspec.json.encode(document).decode(), meanings, now_ms)
    return Applied(version, applied, found)


def _before(rulebook: Rulebook, project: str) -> Document:
    """What is in force; no rules where the document is one that this version refuses, so that it can be replaced."""
    try:
        found = in_force(rulebook, project)
    except InvalidRules:
        return Document()
    return found.document if found else Document()


def in_force(rulebook: Rulebook, project: str, /) -> InForce | None:
    """The project's rules; None when it never had any. Raises ControlFailed, InvalidRules."""
    found = rulebook.current(project)
    if found is None:
        return None
    version, rows = found
    return InForce(version, parse_rules(msgspec.json.decode(version.document)), rows)


class RuleCache:
    """Rules in force, kept ready to run until they change. Any thread may call it."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._rulebook = rulebook
        self._ready: dict[str, tuple[int, RuleSet]] = {}

    def rules(self, project: str, /) -> RuleSet:
        """The project's rules; none at all for one that never had any. Raises ControlFailed, InvalidRules."""
        head = self._rulebook.heads().get(project, 0)
        known = self._ready.get(project)
        if known is None or known[0] != head:
            known = self._ready[project] = (head, load_rules(self._rulebook, project))
        return known[1]


def load_rules(rulebook: Rulebook, project: str, /) -> RuleSet:
    """The project's rules, ready to run. Raises ControlFailed, InvalidRules."""
    found = in_force(rulebook, project)
    if found is None:
        return RuleSet(Document(), "", {})
    document = found.document
    known = {(row.kind, row.rule_id, row.version): row.no for row in found.rows}
    numbers: dict[tuple[Kind, str], int] = {
        (kind, rule.id): known[kind, rule.id, version_of(kind, rule, document)] for kind, rule in document.all()
    }
    return RuleSet(document, found.version.version, numbers)
