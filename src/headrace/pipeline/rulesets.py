"""Puts rules in force: parses and checks a document, reports what it changes, and saves it. Runs no rule."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import msgspec
import structlog

from headrace.model.errors import InvalidRules, OtherRules
from headrace.model.journey_document import JourneyRule, all_steps
from headrace.model.journeys import WAITS, JourneyVersion
from headrace.model.rulebook import RuleRow, Version
from headrace.ports.journeys import JourneyVersions
from headrace.ports.rules import RuleStore
from headrace.reactions.document import Document, Kind
from headrace.reactions.journeys.program import Journey
from headrace.reactions.meaning import Change, changes, content_version, former_version_of, version_of
from headrace.reactions.rules import parse_rules
from headrace.reactions.ruleset import RuleSet
from headrace.reactions.source import parse_source, place
from headrace.reactions.starving import starved

_log = structlog.get_logger("headrace.rules")
NO_RULES = RuleSet(Document(), "", {})
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


class InForce(msgspec.Struct, frozen=True):
    """A project's rules. rows: all versions of all rules that it ever had."""

    version: Version
    document: Document
    rows: list[RuleRow]


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
    applied = rulebook.apply(
        *(project, version, text_of, meanings, now_ms, last, journeys),
        source=text.decode("utf-8-sig"),
        replaces=replaces,
        move=move_runs,
        renamed=renamed,
    )
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


def in_force(rulebook: RuleStore, project: str, /) -> InForce | None:
    """The project's rules; None if it never had any. Raises ControlFailed, InvalidRules."""
    found = rulebook.current(project)
    if found is None:
        return None
    version, rows = found
    return InForce(version, parse_rules(msgspec.json.decode(version.document), kept=True), rows)


class RuleCache:
    """A cache of compiled rules in force. Any thread may call it."""

    def __init__(self, rulebook: RuleStore) -> None:
        self._rulebook = rulebook
        self._ready: dict[str, tuple[int, RuleSet]] = {}

    def rules(self, project: str, /) -> RuleSet:
        """The project's rules; an empty set if it never had any. Raises ControlFailed, InvalidRules."""
        latest = self._rulebook.rule_set_ids().get(project, 0)
        known = self._ready.get(project)
        if known is None or known[0] != latest:
            known = self._ready[project] = (latest, load_rules(self._rulebook, project))
        return known[1]


class RuleTimelines:
    """Each project's rules by the position from which they apply. Any thread may call it."""

    def __init__(self, rulebook: RuleStore, versions: JourneyVersions | None = None) -> None:
        """versions: the versions of journeys; None if no journeys are needed."""
        self._rulebook = rulebook
        self._versions = versions
        self._ids: dict[str, int] = {}
        self._timelines: dict[str, list[tuple[int, RuleSet]]] = {}  # earliest first
        self._needed_from = 0
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._timelines)

    def refresh(self) -> None:
        """Load everything that has been applied so far. Raises ControlFailed."""
        with self._lock:
            ids = self._rulebook.rule_set_ids()
            if ids == self._ids:
                return
            for project in ids:
                if self._ids.get(project) != ids[project]:
                    self._load(project)
            self._ids = ids

    def at(self, project: str, position: int, /) -> RuleSet | None:
        """The rules for an event at a position; None if there are none."""
        for from_position, rules in reversed(self._timelines.get(project, ())):
            if from_position < position:
                return None if rules.is_empty else rules
        return None

    def is_steady(self, project: str, position: int, /) -> bool:
        """Whether the rules at a position also apply to every event after it."""
        timeline = self._timelines.get(project)
        return not timeline or timeline[-1][0] < position

    def latest(self, project: str, /) -> RuleSet | None:
        """The rules for the next event; None if there are none."""
        timeline = self._timelines.get(project)
        return timeline[-1][1] if timeline and not timeline[-1][1].is_empty else None

    def applied(self, project: str, /) -> int:
        """The number of the application of rules in force, which grows with each; 0 for a project that never had any."""
        return self._ids.get(project, 0)

    def forget(self, position: int, /) -> None:
        """Forget rules for events up to this position."""
        with self._lock:
            self._needed_from = position
            for timeline in self._timelines.values():
                while len(timeline) > 1 and timeline[1][0] <= position:
                    del timeline[0]

    def _load(self, project: str) -> None:
        known = {each.version: each for _, each in self._timelines.get(project, ())}
        timeline = [
            (from_position, known.get(version.version) or self._ready(project, version, rows))
            for from_position, version, rows in self._rulebook.timeline(project, self._needed_from)
        ]
        self._learn(project, [rules for _, rules in timeline])
        if not all(rules.is_empty for _, rules in timeline):
            self._timelines[project] = timeline
        else:
            self._timelines.pop(project, None)

    def _learn(self, project: str, documents: Sequence[RuleSet]) -> None:
        """Add the versions of journeys to each document that runs may be of while it applies."""
        running: Mapping[int, str] = {} if self._versions is None else self._versions.running(project)
        known = {number: journey for rules in documents for number, journey in rules.journeys.by_no.items()}
        journeys = known | {no: journey_of(no, text) for no, text in running.items() if no not in known}
        for rules in documents:
            rules.learn(journeys.values())

    def _ready(self, project: str, version: Version, rows: list[RuleRow]) -> RuleSet:
        try:
            return _rule_set(version, parse_rules(msgspec.json.decode(version.document), kept=True), rows)
        except (InvalidRules, KeyError):  # saved by another version of headrace; events must not stop
            _log.exception("rules_unusable", project=project)
            return RuleSet(Document(), "", {})


def journey_of(number: int, definition: str, /) -> Journey:
    """A saved version of a journey, ready to run."""
    return Journey(msgspec.json.decode(definition, type=JourneyRule), number)


def load_rules(rulebook: RuleStore, project: str, /) -> RuleSet:
    """The project's rules, ready to run. Raises ControlFailed, InvalidRules."""
    found = in_force(rulebook, project)
    if found is None:
        return RuleSet(Document(), "", {})
    return _rule_set(found.version, found.document, found.rows)


def _rule_set(version: Version, document: Document, rows: list[RuleRow]) -> RuleSet:
    known = {(row.kind, row.rule_id, row.version): row.no for row in rows}
    numbers: dict[tuple[Kind, str], int] = {}
    for kind, rule in document.all():
        number = known.get((kind, rule.id, version_of(kind, rule, document)))
        if number is None:  # applied by an earlier version of headrace, and nothing since
            number = known[kind, rule.id, former_version_of(kind, rule, document)]
        numbers[kind, rule.id] = number
    return RuleSet(document, version.version, numbers, other_versions(numbers, rows))


def other_versions(numbers: Mapping[tuple[Kind, str], int], rows: Sequence[RuleRow], /) -> dict[int, list[int]]:
    """By the number of a rule, the numbers of its other versions."""
    others: dict[int, list[int]] = {}
    for row in rows:
        number = numbers.get((row.kind, row.rule_id))  # pyright: ignore[reportArgumentType]
        if number is not None and number != row.no:
            others.setdefault(number, []).append(row.no)
    return others
