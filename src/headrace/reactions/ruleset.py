"""A project's rules, ready to run, and what they want of an event's name or a fact's type. Pure."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from headrace.reactions.badges import Badge
from headrace.reactions.challenges import Challenge
from headrace.reactions.document import DEFAULT_TYPE, Document, Kind, Rule
from headrace.reactions.facts import FactMaker
from headrace.reactions.journeys.program import Journey
from headrace.reactions.journeys.stage import JourneySet
from headrace.reactions.meaning import version_of
from headrace.reactions.patterns import matches, overlap

_MAX_REMEMBERED = 10_000  # names and types, which clients choose


class Named(msgspec.Struct, frozen=True):
    """The rules for events of one name.

    default_fields: the fields that rules read of the default fact; None if no rule reads that fact.
    journeys: whether such events may start, move or end a run.
    """

    makers: list[FactMaker]
    default_fields: frozenset[str] | None
    journeys: bool = False


class Listeners(msgspec.Struct, frozen=True):
    """What facts of one type affect: challenges, badges that count such facts, and all badges that depend on either."""

    challenges: list[Challenge]
    counting: list[Badge]
    badges: list[Badge]


class RuleSet:
    """A project's rules, ready to run. For other versions of journeys that people may be in, see `learn`."""

    def __init__(
        self,
        document: Document,
        version: str,
        numbers: Mapping[tuple[Kind, str], int],
        others: Mapping[int, Sequence[int]] = {},
    ) -> None:
        """numbers: of the rules' versions, by kind and id. others: by number, the numbers of the same rule's other versions."""
        self.document = document
        self.version = version
        self.others = others
        self.rules: dict[int, tuple[Kind, Rule, str]] = {
            numbers[kind, rule.id]: (kind, rule, version_of(kind, rule, document)) for kind, rule in document.all()
        }
        self.makers = [FactMaker(rule, numbers["fact", rule.id]) for rule in document.facts]
        self.challenges = [Challenge(rule, numbers["challenge", rule.id]) for rule in document.challenges]
        self.badges = [
            Badge(rule, numbers["badge", rule.id], numbers["challenge", rule.challenge] if rule.challenge else None)
            for rule in document.badges
        ]
        self.journeys = JourneySet([Journey(rule, numbers["journey", rule.id]) for rule in document.journeys])
        self._default_patterns = [
            (pattern, fields)
            for pattern, fields in (
                *((each.rule.fact, [each.field] if each.field else []) for each in self.challenges),
                *((each.rule.fact, []) for each in self.badges if each.rule.fact),
            )
            if overlap(pattern, f"{DEFAULT_TYPE}*")
        ]
        self._named: dict[str, Named | None] = {}
        self._listeners: dict[str, Listeners] = {}

    @property
    def is_empty(self) -> bool:
        """Whether no event can cause anything."""
        return not self.rules and not self.journeys.by_no

    def learn(self, journeys: Iterable[Journey], /) -> None:
        """Add versions of journeys from before or after these rules: runs may be of any of them."""
        if self.journeys.learn(journeys):
            self._named = {}

    def named(self, name: str, /) -> Named | None:
        """The rules for events of a name; None if there are none."""
        try:
            return self._named[name]
        except KeyError:
            pass
        makers = [maker for maker in self.makers if matches(maker.rule.event, name)]
        wanting = [fields for pattern, fields in self._default_patterns if matches(pattern, DEFAULT_TYPE + name)]
        fields = frozenset(field for each in wanting for field in each) if wanting else None
        concerns = self.journeys.concern(name)
        found = Named(makers, fields, concerns) if makers or wanting or concerns else None
        if len(self._named) >= _MAX_REMEMBERED:
            self._named.clear()
        self._named[name] = found
        return found

    def listeners(self, fact_type: str, /) -> Listeners:
        try:
            return self._listeners[fact_type]
        except KeyError:
            pass
        challenges = [each for each in self.challenges if matches(each.rule.fact, fact_type)]
        counting = [each for each in self.badges if each.rule.fact and matches(each.rule.fact, fact_type)]
        moved = {each.no for each in challenges}
        following: list[Badge] = []
        ids: set[str] = set()
        for badge in self.badges:  # a badge comes after those that it depends on
            if badge in counting or badge.challenge_no in moved or ids.intersection(badge.rule.badges or ()):
                following.append(badge)
                ids.add(badge.rule.id)
        if len(self._listeners) >= _MAX_REMEMBERED:
            self._listeners.clear()
        found = self._listeners[fact_type] = Listeners(challenges, counting, following)
        return found

    def names(self, rule_no: int, /) -> tuple[str, str]:
        """The id and version of the rule with a number, earlier versions of journeys included; empty if unknown."""
        if found := self.rules.get(rule_no):
            return found[1].id, found[2]
        journey = self.journeys.by_no.get(rule_no)
        return (journey.rule.id, version_of("journey", journey.rule, Document())) if journey else ("", "")
