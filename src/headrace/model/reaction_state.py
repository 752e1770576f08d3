"""The state of the reactions, in the form in which control loads and saves it. No I/O, and no knowledge of what rules mean.

Rules appear here as numbers: control numbers each version of a rule's meaning.
"""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from headrace.model.journeys import Person, RunState


class Caused(msgspec.Struct, frozen=True):
    """An effect with its unique key: (event, rule number, ordinal, generation)."""

    event_id: str
    rule_no: int
    ordinal: int
    generation: int
    kind: str
    participant: str
    at_ms: int  # the event's own time
    detail: dict[str, object]


class Standing(msgspec.Struct, frozen=True):
    """A participant's standing in a challenge: how often it was completed, and the most that was reached in one window."""

    completions: int = 0
    best: str = "0"


class Overrun(msgspec.Struct, frozen=True):
    """A rule whose condition was not evaluated for so many events in a row, each of which would have cost too much.

    first_ms: when the first of them was received. event_id, why: the last of them; of a rule that was put aside, the one at
    which that happened.
    """

    events: int
    first_ms: int
    event_id: str
    why: str
    is_aside: bool = False


class Needs(msgspec.Struct, frozen=True):
    """The state needed to react to some events. `spans`: by (rule number, first bucket, last bucket), the participants.

    travellers: the participants whose runs of journeys are needed; runs: the ids of single runs.
    others: by the number of a rule, those of its other versions, whose payments count as its own.
    """

    event_ids: Sequence[str]
    participants: Sequence[str]
    spans: dict[tuple[int, int, int], set[str]]
    travellers: Sequence[str] = ()
    runs: Sequence[str] = ()
    others: Mapping[int, Sequence[int]] = {}


class State:
    """The loaded state of some events and participants, and the changes made to it since. For one thread."""

    def __init__(self, version: int = 0) -> None:
        """version: the version of the tenant's state at loading; saving fails if it has changed since."""
        self.version = version
        self.counted: dict[str, set[int]] = {}  # by event: the rules that counted it
        self.caused: dict[str, list[Caused]] = {}  # by event: its effects, the latest generation of each
        self.standings: dict[tuple[int, str], Standing] = {}
        self.buckets: dict[tuple[int, str], dict[int, str]] = {}
        self.held: dict[str, set[str]] = {}  # by participant: ids of badges
        self.journeys = RunState()
        self.person_of: Callable[[str], Person | None] = lambda _: None  # who a participant is; may ask control
        self.revoked: dict[
            str, set[str]
        ] = {}  # by participant: ids of badges that were taken back, and cannot be earned again
        # By rule and participant: points that other versions of the rule have paid, and this one has not been credited with yet.
        self.credits: dict[tuple[int, str], int] = {}
        # What is new, to be saved:
        self.new_effects: list[Caused] = []
        self.new_badges: list[tuple[str, str, Caused]] = []  # participant, badge, the effect that gave it
        self.new_points: list[tuple[str, int, int, Caused]] = []  # participant, points, points credited, the effect
        self.changed_events: set[str] = set()
        self.changed_standings: set[tuple[int, str]] = set()
        self.changed_buckets: set[tuple[int, str, int]] = set()  # including buckets that were removed
        # By rule: how often its condition failed, at which event last, and why.
        self.failures: dict[int, tuple[int, str, str]] = {}
        self.passed_over: list[
            tuple[int, str, str]
        ] = []  # rule (0 for all rules), event, why no condition was evaluated
        self.overruns: dict[int, Overrun | None] = {}  # by rule: what has changed; None ends a row of them

    @property
    def is_changed(self) -> bool:
        """Whether there is anything to save."""
        return bool(
            self.new_effects
            or self.changed_events
            or self.failures
            or self.passed_over
            or self.overruns
            or self.journeys.is_changed
        )

    def fail(self, rule_no: int, event_id: str, why: str, /, *, too_costly: bool = False) -> None:
        """A rule could not be applied to an event, or was not since its condition would have been too costly."""
        count, _, _ = self.failures.get(rule_no, (0, "", ""))
        self.failures[rule_no] = (count + 1, event_id, why)
        if too_costly:
            self.passed_over.append((rule_no, event_id, why))

    def was_counted(self, event_id: str, rule_no: int, /) -> bool:
        return rule_no in self.counted.get(event_id, ())

    def count(self, event_id: str, rule_no: int, /) -> None:
        self.counted.setdefault(event_id, set()).add(rule_no)
        self.changed_events.add(event_id)

    def standing(self, rule_no: int, participant: str, /) -> Standing:
        return self.standings.get((rule_no, participant)) or Standing()

    def stand(self, rule_no: int, participant: str, standing: Standing, /) -> None:
        self.standings[rule_no, participant] = standing
        self.changed_standings.add((rule_no, participant))

    def bucket(self, rule_no: int, participant: str, bucket: int, /) -> str:
        return self.buckets.get((rule_no, participant), {}).get(bucket, "")

    def put(self, rule_no: int, participant: str, bucket: int, value: str, /) -> None:
        """Set a bucket; "" removes it."""
        held = self.buckets.setdefault((rule_no, participant), {})
        if value:
            held[bucket] = value
        else:
            held.pop(bucket, None)
        self.changed_buckets.add((rule_no, participant, bucket))

    def cause(self, effect: Caused, /) -> None:
        self.caused.setdefault(effect.event_id, []).append(effect)
        self.new_effects.append(effect)

    def award(self, participant: str, badge: str, effect: Caused, /) -> None:
        self.held.setdefault(participant, set()).add(badge)
        self.new_badges.append((participant, badge, effect))

    def grant(self, participant: str, points: int, credited: int, effect: Caused, /) -> None:
        """Points paid; credited: those that are not, since other versions of the rule have paid them."""
        self.new_points.append((participant, points, credited, effect))
        if credited:
            self.credits[effect.rule_no, participant] -= credited
