"""The rules in force, compiled for those who run them. Runs no rule itself."""

import threading
from collections.abc import Mapping, Sequence

import msgspec
import structlog

from headrace.model.errors import InvalidRules
from headrace.model.journey_document import JourneyRule
from headrace.model.rulebook import RuleRow, Version
from headrace.ports.journeys import JourneyVersions
from headrace.ports.rules import RuleStore
from headrace.reactions.document import Document, Kind
from headrace.reactions.journeys.program import Journey
from headrace.reactions.meaning import former_version_of, version_of
from headrace.reactions.rules import parse_rules
from headrace.reactions.ruleset import RuleSet

_log = structlog.get_logger("headrace.rules")
NO_RULES = RuleSet(Document(), "", {})


class InForce(msgspec.Struct, frozen=True):
    """A project's rules. rows: all versions of all rules that it ever had."""

    version: Version
    document: Document
    rows: list[RuleRow]


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
