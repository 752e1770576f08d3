"""Checks rules documents. Pure; parses no YAML, saves nothing."""

import re
from collections.abc import Callable, Mapping
from typing import Any, cast

import msgspec

from headrace.model.errors import HeadraceError, InvalidRequest, InvalidRules, Problem
from headrace.model.journey_document import JourneyRule
from headrace.model.zones import UTC_ZONE, Zone, zone_of
from headrace.reactions import cost
from headrace.reactions.conditions import FIELDS, OBJECTS, Condition, Malformed
from headrace.reactions.document import (
    DEFAULT_TYPE,
    MAX_DISTINCT,
    MAX_STREAK_DAYS,
    AnyRule,
    BadgeRule,
    ChallengeRule,
    Document,
    FactRule,
    Level,
    Measure,
    Rule,
    Window,
    feeders,
    fixed_dates,
    measure_field,
    measure_kind,
)
from headrace.reactions.journeys.document import MAX_JOURNEYS, check_journey, check_together
from headrace.reactions.patterns import overlap, pattern_problem
from headrace.reactions.reach import Share, excess_of
from headrace.reactions.translation import translate

MAX_RULES = 500
_SECTIONS = "'facts', 'challenges', 'badges', 'levels' and 'journeys'"


def parse_rules(document: object, /, *, kept: bool = False) -> Document:
    """Check a whole document. Raises InvalidRules with a problem for each rule that has one, and the place of each.

    kept: whether it was applied before, perhaps by an earlier version of this program that accepted more. Conditions and their
    costs are not checked then: each condition that is refused now fails alone (see FactMaker), and events have their own limits.
    """
    problems: list[Problem] = []
    if not isinstance(document, dict):
        raise InvalidRules([Problem("", f"it must be an object with {_SECTIONS}")])
    given: dict[str, Any] = document  # pyright: ignore[reportUnknownVariableType]
    if unknown := [str(key) for key in given if key not in Document.__struct_fields__]:
        problems.append(Problem(unknown[0][:80], f"unknown section; the sections are {_SECTIONS}"))
    lists: dict[str, list[Any]] = {part: given.get(part) or [] for part in Document.__struct_fields__}
    if wrong := [part for part, rules in lists.items() if type(rules) is not list]:
        raise InvalidRules([Problem(part, "it must be a list of rules") for part in wrong])
    if sum(map(len, lists.values())) > MAX_RULES:
        raise InvalidRules([Problem("", f"it has more than {MAX_RULES} rules")])
    facts = _each("facts", lists, FactRule, _check_kept_fact if kept else _check_fact, problems)
    challenges = _each("challenges", lists, ChallengeRule, _check_challenge, problems)
    badges = _each("badges", lists, BadgeRule, _check_badge, problems)
    journeys = _journeys(lists, problems, kept=kept)
    levels = _each("levels", lists, Level, lambda _level: None, problems)
    named: tuple[tuple[str, Mapping[int, Rule | Level]], ...] = (
        *(("facts", facts), ("challenges", challenges), ("badges", badges)),
        *(("journeys", journeys), ("levels", levels)),
    )
    for part, rules in named:
        _check_ids(part, rules, problems)
    _check_levels(levels, problems)
    if not problems:  # a rule that refers to a broken rule would only repeat its problem
        _check_references(facts, challenges, badges, problems)
        if not kept:
            _check_work(facts, problems)
            problems += check_together(journeys)
    if problems:
        raise InvalidRules(problems)
    return Document(
        facts=list(facts.values()),
        challenges=list(challenges.values()),
        badges=list(badges.values()),
        journeys=list(journeys.values()),
        levels=list(levels.values()),
    )


def _journeys(lists: Mapping[str, list[Any]], problems: list[Problem], *, kept: bool) -> dict[int, JourneyRule]:
    """Like `_each`, with every problem of each journey."""
    if len(lists["journeys"]) > MAX_JOURNEYS:
        problems.append(Problem("journeys", f"it has more than {MAX_JOURNEYS} journeys"))
        return {}
    sound = _each("journeys", lists, JourneyRule, lambda _: None, problems)
    if kept:
        return sound
    found = {index: check_journey(journey) for index, journey in sound.items()}
    problems += [Problem(f"journeys[{index}].{place}", said) for index in found for place, said in found[index]]
    return {index: journey for index, journey in sound.items() if not found[index]}


def _each(
    part: str,
    lists: Mapping[str, list[Any]],
    kind: type[AnyRule],
    check: Callable[[AnyRule], "tuple[str, str] | None"],
    problems: list[Problem],
) -> dict[int, AnyRule]:
    """The rules of a part that are valid by themselves, by index."""
    sound: dict[int, AnyRule] = {}
    for index, raw in enumerate(lists[part]):
        place = f"{part}[{index}]"
        try:
            rule = msgspec.convert(_with_objects(raw), kind, str_keys=True)
        except msgspec.ValidationError as error:
            text, _, path = str(error).partition(" - at `$")
            problems.append(Problem(place + path.rstrip("`"), text[0].lower() + text[1:]))
            continue
        found = check(rule)
        if found is None:
            sound[index] = rule
        else:
            problems.append(Problem(f"{place}.{found[0]}", found[1]))
    return sound


_OBJECTS = frozenset({"fields", "properties", "body"})


def _with_objects(value: object, levels: int = 50) -> object:
    """A rule with empty arrays where objects belong as empty objects: PHP does not distinguish them. Data stay as they are.

    levels: how deep to look; steps within branches are not nested deeper.
    """
    if levels and isinstance(value, list):
        return [_with_objects(each, levels - 1) for each in cast("list[object]", value)]
    if not levels or not isinstance(value, dict):
        return value
    members: dict[object, object] = {}
    for name, each in cast("dict[object, object]", value).items():
        if name in _OBJECTS:
            members[name] = {} if each == [] else each
        else:
            members[name] = _with_objects(each, levels - 1)
    return members


_PATH = re.compile(r"(?:properties|context|traits|tags)\.[^.]{1,200}|[a-z_]{1,20}")


def _check_fact(rule: FactRule) -> tuple[str, str] | None:
    if rule.when is not None:
        try:
            Condition(rule.when)
        except Malformed as malformed:
            return "when", str(malformed)
    return _check_kept_fact(rule)


def _check_kept_fact(rule: FactRule) -> tuple[str, str] | None:
    if problem := pattern_problem(rule.event):
        return "event", problem
    if rule.fact_type is not None and "*" in rule.fact_type:
        return "fact_type", "a type holds no '*'"
    for name, path in rule.fields.items():
        if not 1 <= len(name) <= 100:
            return "fields", "a field's name must have 1 to 100 characters"
        root = path.partition(".")[0]
        if not _PATH.fullmatch(path) or root not in FIELDS or path in (*OBJECTS, "tags"):
            return (
                f"fields.{name}",
                f"{path[:80]!r} is not a path: write properties.x, tags.x, or a field such as value",
            )
    return None


def _check_challenge(rule: ChallengeRule) -> tuple[str, str] | None:
    window = rule.window or Window()
    if problem := pattern_problem(rule.fact):
        return "fact", problem
    if isinstance(rule.measure, Measure) and (rule.measure.sum is None) == (rule.measure.distinct is None):
        return "measure", "give either 'sum' or 'distinct', with a field's name"
    if not 1e-6 <= rule.goal <= 1e15:
        return "goal", "it must be from 0.000001 to 1e15"
    kind = measure_kind(rule)
    if kind != "sum" and rule.goal != int(rule.goal):
        return "goal", "it must be a whole number, because the measure counts"
    most = {"streak": MAX_STREAK_DAYS, "distinct": MAX_DISTINCT}.get(kind)
    if most and rule.goal > most:
        return "goal", f"for this measure it must be at most {most}"
    if rule.freezes and (kind != "streak" or rule.repeat):
        return "freezes", "only a streak that does not repeat can have freezes"
    try:
        zone = UTC_ZONE if rule.time_zone == "UTC" else zone_of(rule.time_zone)
    except InvalidRequest:
        return "time_zone", f"{rule.time_zone[:80]!r} is not a time zone: write a name such as Europe/Berlin"
    return _window_problem(rule, window, kind, zone)


def _window_problem(rule: ChallengeRule, window: Window, kind: str, zone: Zone) -> tuple[str, str] | None:
    chosen = [
        window.per is not None,
        window.days is not None,
        window.hours is not None,
        bool(window.from_ or window.to),
    ]
    if sum(chosen) != (rule.window is not None):
        return "window", "give one of 'per', 'days', 'hours', or 'from' and 'to'"
    if kind == "streak" and rule.window is not None and not (window.from_ or window.to):
        return "window", "a streak can only have a window of fixed dates"
    try:
        from_ms, to_ms = fixed_dates(window, zone)
    except HeadraceError as error:
        return "window", error.message
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        return "window", "'from' is after 'to'"
    if rule.repeat and (window.days or window.hours):
        return "repeat", "a window of the latest days or hours cannot repeat; use 'per'"
    if rule.repeat and kind == "distinct" and not window.per:
        return "repeat", "'distinct' can only repeat with a window 'per' day, week or month"
    return None


def _check_badge(rule: BadgeRule) -> tuple[str, str] | None:
    if sum((rule.challenge is not None, rule.fact is not None, rule.badges is not None)) != 1:
        return "id", "a badge is for one of: a 'challenge', a 'fact' with a 'count', or other 'badges'"
    if (rule.fact is None) != (rule.count is None):
        return "count", "'fact' and 'count' go together"
    if rule.times != 1 and rule.challenge is None:
        return "times", "it goes with 'challenge'"
    if rule.fact is not None and (problem := pattern_problem(rule.fact)):
        return "fact", problem
    return None


def _check_levels(levels: Mapping[int, Level], problems: list[Problem]) -> None:
    before: Level | None = None
    for index, level in levels.items():
        if before is not None and level.points <= before.points:
            detail = f"it must be more than that of the level before, which is {before.points}"
            problems.append(Problem(f"levels[{index}].points", detail))
        before = level


def _check_ids(part: str, rules: Mapping[int, Rule | Level], problems: list[Problem]) -> None:
    seen: set[str] = set()
    for index, rule in rules.items():
        if rule.id in seen:
            problems.append(Problem(f"{part}[{index}].id", f"another rule in this section has the id {rule.id!r}"))
        seen.add(rule.id)


def _check_references(
    facts: Mapping[int, FactRule],
    challenges: Mapping[int, ChallengeRule],
    badges: Mapping[int, BadgeRule],
    problems: list[Problem],
) -> None:
    for index, challenge in challenges.items():
        place = f"challenges[{index}]"
        feeding = feeders(challenge.fact, facts.values())
        if not feeding and not overlap(challenge.fact, f"{DEFAULT_TYPE}*"):
            problems.append(Problem(f"{place}.fact", f"no fact rule makes facts of the type {challenge.fact!r}"))
        field = measure_field(challenge)
        for fact in feeding:
            if field is not None and field not in fact.fields:
                detail = f"the fact rule {fact.id!r} does not pick the field {field!r}: add it to its 'fields'"
                problems.append(Problem(f"{place}.measure", detail))
    known = {rule.id for rule in challenges.values()}
    for index, badge in badges.items():
        place = f"badges[{index}]"
        if badge.challenge is not None and badge.challenge not in known:
            problems.append(Problem(f"{place}.challenge", f"there is no challenge {badge.challenge[:80]!r}"))
        if badge.fact and not feeders(badge.fact, facts.values()) and not overlap(badge.fact, f"{DEFAULT_TYPE}*"):
            problems.append(Problem(f"{place}.fact", f"no fact rule makes facts of the type {badge.fact!r}"))
    earlier: set[str] = set()
    for index, badge in badges.items():
        problems += [
            Problem(f"badges[{index}].badges", f"no earlier badge has the id {name[:80]!r}")
            for name in badge.badges or ()
            if name not in earlier  # so no badge can depend on itself
        ]
        earlier.add(badge.id)


def _check_work(facts: Mapping[int, FactRule], problems: list[Problem]) -> None:
    """Check that the rules that any single event can reach stay within the common limit."""
    if too_much := excess_of([Share(rule.id, rule.event, work_of(rule)) for rule in facts.values()]):
        problems.append(Problem("facts", too_much))


def work_of(rule: FactRule, /) -> float:
    """The cost of a fact rule over a plain event: its condition, the fact, and the picked fields. Raises Malformed."""
    condition = translate(rule.when).work.at_plain() if rule.when is not None else 0.0
    return condition + cost.FACT_NS + len(rule.fields) * cost.PICK_NS
