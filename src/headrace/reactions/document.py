"""A project's rules as a document: its structures, and what can be read of them. Pure; rules.py checks a document."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from headrace.model.journey_document import JourneyRule
from headrace.model.times import parse_time
from headrace.model.zones import Zone
from headrace.reactions.patterns import matches, overlap

MAX_DISTINCT = 500
MAX_STREAK_DAYS = 365
MAX_FREEZES = 30
MAX_ROLLING = {"days": 366, "hours": 168}

Text = Annotated[str, Meta(max_length=2000)]
Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Pattern = Annotated[str, Meta(min_length=1, max_length=200)]
Points = Annotated[int, Meta(ge=0, le=1_000_000)]
Duration = Annotated[str, Meta(pattern=r"^[0-9]{1,6}[smhd]$")]
DEFAULT_AHEAD = "1d"
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
Kind = Literal["fact", "challenge", "badge", "journey"]
DEFAULT_TYPE = "custom."


class _Rule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    id: Id
    title: Text = ""
    description: Text = ""
    points: Points = 0


class FactRule(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Turns events of a name, or of names with a prefix (`order.*`), into facts of a type if a condition holds."""

    event: Pattern
    when: str | None = None
    fact_type: Annotated[str, Meta(min_length=1, max_length=200)] | None = None  # custom.<event name>
    fields: Annotated[dict[str, str], Meta(max_length=20)] = {}  # name in the fact: path in the event


class Measure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either `sum`, which adds up a field's numbers, or `distinct`, which counts its distinct values."""

    sum: str | None = None
    distinct: str | None = None


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One of: each calendar `day`, `week` (from Monday) or `month`; the latest days or hours; fixed dates."""

    per: Literal["day", "week", "month"] | None = None
    days: Annotated[int, Meta(ge=1, le=MAX_ROLLING["days"])] | None = None
    hours: Annotated[int, Meta(ge=1, le=MAX_ROLLING["hours"])] | None = None
    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None


class ChallengeRule(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts facts of a type, or of types with a prefix, per participant until a goal."""

    fact: Pattern
    measure: Literal["count", "streak"] | Measure = "count"
    goal: float | int
    window: Window | None = None
    time_zone: str = "UTC"
    repeat: bool = False
    freezes: Annotated[int, Meta(ge=0, le=MAX_FREEZES)] = 0  # days that a streak may miss
    ahead: Duration = DEFAULT_AHEAD  # how far an event's own time may be past its receipt
    back: Duration | None = None  # … and before it; None: as far as it likes


class BadgeRule(_Rule, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Awarded for a challenge completed (`times` times), for a `count` of facts, or for other badges: one of the three."""

    challenge: str | None = None
    times: Annotated[int, Meta(ge=1, le=1_000_000)] = 1
    fact: Pattern | None = None
    count: Annotated[int, Meta(ge=1, le=1_000_000_000)] | None = None
    badges: Annotated[list[str], Meta(min_length=1, max_length=50)] | None = None


class Level(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A name for balances of at least `points`; lost when the balance falls below."""

    id: Id
    points: Annotated[int, Meta(ge=0, le=10**12)]
    title: Text = ""
    description: Text = ""


Rule: TypeAlias = FactRule | ChallengeRule | BadgeRule | JourneyRule
AnyRule = TypeVar("AnyRule", bound=Rule | Level)


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    facts: list[FactRule] = []
    challenges: list[ChallengeRule] = []
    badges: list[BadgeRule] = []
    journeys: list[JourneyRule] = []
    levels: list[Level] = []

    def all(self) -> list[tuple[Kind, Rule]]:
        """Every rule with its kind, in order. Levels are none: they follow from balances."""
        parts: tuple[tuple[Kind, Sequence[Rule]], ...] = (
            ("fact", self.facts),
            ("challenge", self.challenges),
            ("badge", self.badges),
            ("journey", self.journeys),
        )
        return [(kind, rule) for kind, rules in parts for rule in rules]

    def about(self, name: str, /) -> list[str]:
        """The ids of the rules about events of a name: fact rules, and rules that count the fact it becomes without one.

        Not of journeys: see `used_by`.
        """
        patterns = [(rule.id, rule.event, name) for rule in self.facts]
        counting: tuple[ChallengeRule | BadgeRule, ...] = (*self.challenges, *self.badges)
        patterns += [(rule.id, rule.fact, DEFAULT_TYPE + name) for rule in counting if rule.fact]
        return list(dict.fromkeys(rule_id for rule_id, pattern, text in patterns if matches(pattern, text)))

    def used_by(self, name: str, /) -> list[str]:
        """The users of events of a name: `rule:<id>`, and `journey:<id>` of journeys that such events start, move or end."""
        journeys = [each.id for each in self.journeys if any(matches(pattern, name) for pattern in each.patterns())]
        return [*(f"rule:{each}" for each in self.about(name)), *(f"journey:{each}" for each in journeys)]


def measure_kind(rule: ChallengeRule, /) -> Literal["count", "sum", "distinct", "streak"]:
    if isinstance(rule.measure, Measure):
        return "distinct" if rule.measure.distinct is not None else "sum"
    return rule.measure


def measure_field(rule: ChallengeRule, /) -> str | None:
    """The field that is summed, or whose distinct values are counted."""
    return (rule.measure.sum or rule.measure.distinct) if isinstance(rule.measure, Measure) else None


def fixed_dates(window: Window, zone: Zone, /) -> tuple[int | None, int | None]:
    """The first and the last millisecond; a date alone is in the zone. Raises InvalidTimestamp."""
    return (
        parse_time(window.from_, "from", zone=zone) if window.from_ else None,
        parse_time(window.to, "to", end_of_day=True, zone=zone) if window.to else None,
    )


def level_of(levels: Sequence[Level], balance: int, /) -> tuple[Level | None, Level | None]:
    """The level that a balance reaches, and the next one; None where there is none. Levels are in the order of their points."""
    reached = [level for level in levels if level.points <= balance]
    return (reached[-1] if reached else None, levels[len(reached)] if len(reached) < len(levels) else None)


def duration_ms(text: str, /) -> int:
    """`30s`, `5m`, `1h` or `7d` in milliseconds."""
    return int(text[:-1]) * _UNIT_MS[text[-1]]


def goal_of(rule: ChallengeRule, /) -> Decimal:
    return Decimal(repr(rule.goal))


def type_pattern(rule: FactRule, /) -> str:
    """The types of the facts that the rule makes, as a pattern."""
    return rule.fact_type or DEFAULT_TYPE + rule.event


def feeders(pattern: str, facts: Iterable[FactRule], /) -> list[FactRule]:
    """The fact rules that can make facts of types that match."""
    return [rule for rule in facts if overlap(pattern, type_pattern(rule))]
