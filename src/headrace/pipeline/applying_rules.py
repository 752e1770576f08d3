"""Puts rules in force: parses and checks a document, reports what it changes, and saves it. Runs no rule."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from headrace.model.errors import InvalidRules, OtherRules
from headrace.model.journey_document import JourneyRule, all_steps
from headrace.model.journeys import WAITS, JourneyVersion
from headrace.model.rulebook import Application
from headrace.pipeline.rulesets import in_force
from headrace.ports.rules import RuleStore
from headrace.reactions.document import Document, Kind
from headrace.reactions.meaning import Change, changes, content_version, former_version_of, version_of
from headrace.reactions.rules import parse_rules
from headrace.reactions.source import parse_source, place
from headrace.reactions.starving import starved

Awaited: TypeAlias = tuple[int, str, str, int]  # rule number, step, what for, how many runs


class JourneyChange(msgspec.Struct, frozen=True):
    """What applying a document does to the runs of a changed or removed journey, in both modes.

    runs: the runs of versions that will no longer be in force. moves: how many of them continue by the new version, if the apply
    moves runs; the others finish on their own version.
    """

    id: str
    runs: int
    moves: int


class Warned(msgspec.Struct, frozen=True):
    """A place in the document that is valid but probably not what was meant; `line` as in Problem."""

    path: str
    detail: str
    line: int | None


class Applied(msgspec.Struct, frozen=True):
    """`applied` is false for a dry run, and if the document was in force already; then `changes` is empty."""

    version: str
    applied: bool
    changes: list[Change]
    warnings: list[Warned]
    journeys: list[JourneyChange] = []


def parse_document(text: bytes, /) -> Document:
    """Raises InvalidRules, with the place of each problem."""
    return _parse(text)[0]


def _parse(text: bytes) -> tuple[Document, list[Warned]]:
    value, lines = parse_source(text)
    try:
        document = parse_rules(value)
    except InvalidRules as invalid:
        raise InvalidRules(place(invalid.problems, lines)) from None
    return document, [Warned(*each) for each in place(starved(document), lines)]


def apply_rules(
    rulebook: RuleStore,
    project: str,
    text: bytes,
    now_ms: int,
    /,
    *,
    last: Callable[[], int],
    dry_run: bool,
    move_runs: bool = False,
    replaces: Callable[[str], bool] = lambda _: True,
    awaited: Callable[[str], Sequence[Awaited]] = lambda _: (),
) -> Applied:
    """Put a document in force, or only report what that would change. Raises InvalidRules, OtherRules, ControlFailed.

    last: returns the position of the last acknowledged event; the document applies to later events.
    move_runs: whether runs of changed journeys continue by the new version, if it has their current step and waits there alike.
    replaces: see RuleStore; a dry run asks it too.
    awaited: what a project's runs wait for: see JourneyRuns.
    """
    document, warnings = _parse(text)
    before = _before(rulebook, project)
    found = changes(before, document)
    version = content_version(document)
    journeys = [_journey_version(journey, document) for journey in document.journeys]
    concerned = _journey_changes(rulebook, project, journeys, awaited(project), move_runs=move_runs)
    if dry_run:
        if not replaces(in_place := _version_in_force(rulebook, project)):
            raise OtherRules(in_place)
        return Applied(version, False, found, warnings, concerned)
    meanings = [(kind, rule.id, version_of(kind, rule, document)) for kind, rule in document.all()]
    renamed = list(dict.fromkeys(each for one in (before, document) for each in _renamed(one)))
    text_of = msgspec.json.encode(document).decode()
    application = Application(
        *(project, version, text_of, meanings, journeys),
        source=text.decode("utf-8-sig"),
        move=move_runs,
        renamed=renamed,
    )
    applied = rulebook.apply(application, now_ms, last, replaces)
    return Applied(version, applied, found, warnings, concerned)


def _renamed(document: Document) -> list[tuple[Kind, str, str, str]]:
    """(kind, rule id, version, current name of the version) for versions that an earlier headrace named differently."""
    found: list[tuple[Kind, str, str, str]] = []
    for kind, rule in document.all():
        former, now = former_version_of(kind, rule, document), version_of(kind, rule, document)
        if former != now:
            found.append((kind, rule.id, former, now))
    return found


def _journey_version(journey: JourneyRule, document: Document) -> JourneyVersion:
    waits = {step.id: WAITS[step.kind] for step in all_steps(journey.steps) if step.kind in WAITS}
    definition = msgspec.json.encode(journey).decode()
    return JourneyVersion(journey.id, version_of("journey", journey, document), definition, waits)


def _journey_changes(
    rulebook: RuleStore,
    project: str,
    journeys: Sequence[JourneyVersion],
    awaited: Sequence[Awaited],
    *,
    move_runs: bool,
) -> list[JourneyChange]:
    if not awaited:
        return []
    _, rows = rulebook.current(project) or (None, [])
    names = {row.no: (row.rule_id, row.version) for row in rows if row.kind == "journey"}
    new = {each.id: each for each in journeys}
    found: dict[str, tuple[int, int]] = {}
    for number, step, waiting, count in awaited:
        journey, version = names[number]
        after = new.get(journey)
        if after is not None and after.version == version:
            continue
        runs, moves = found.get(journey, (0, 0))
        moved = move_runs and after is not None and after.waits.get(step) == waiting
        found[journey] = (runs + count, moves + count * moved)
    return [JourneyChange(journey, *counts) for journey, counts in sorted(found.items())]


def _version_in_force(rulebook: RuleStore, project: str) -> str:
    found = rulebook.current(project)
    return found[0].version if found else ""


def _before(rulebook: RuleStore, project: str) -> Document:
    """The rules in force; none if this version refuses their document, so that it can be replaced."""
    try:
        found = in_force(rulebook, project)
    except InvalidRules:
        return Document()
    return found.document if found else Document()
