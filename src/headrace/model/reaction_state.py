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


class Share(msgspec.Struct, frozen=True):
    """What one id of a person has of the person's standing in a rule.

    completions: those that an event of the id brought, and that were paid on it. corrected: what merges and their undoing have
    added to them, or taken away. A badge counts as one completion of its rule.
    """

    completions: int = 0
    corrected: int = 0

    @property
    def net(self) -> int:
        return self.completions + self.corrected


class HeldAward(msgspec.Struct, frozen=True):
    """A badge, with the id whose event brought it. stands: False where another id of the person holds it, too."""

    rule_no: int
    event_id: str
    at_ms: int
    revoked_at_ms: int | None = None
    revoked_why: str = ""
    stands: bool = True


class Booking(msgspec.Struct, frozen=True):
    """An entry of the ledger by which ids that became one person, or are no longer, have what that person earned."""

    id: str
    rule_no: int
    ordinal: int
    event_id: str
    at_ms: int
    points: int
    reason: str
    rule_id: str


class Overrun(msgspec.Struct, frozen=True):
    """A rule whose condition was not evaluated for `events` events in a row, each of which would have cost too much.

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
    whole: ids of whose persons everything is needed, with the progress in the rules `rule_nos`, to regroup them.
    """

    event_ids: Sequence[str]
    participants: Sequence[str]
    spans: dict[tuple[int, int, int], set[str]]
    travellers: Sequence[str] = ()
    runs: Sequence[str] = ()
    others: Mapping[int, Sequence[int]] = {}
    whole: Sequence[str] = ()
    rule_nos: Sequence[int] = ()


class State:
    """The loaded state of some events and participants, and the changes made to it since. For one thread.

    Progress (`buckets`) is kept by id: that of a person's ids adds up. Standings, badges and credits are kept by participant,
    that is, by the id that the person goes by.
    """

    def __init__(self, version: int = 0) -> None:
        """version: the version of the tenant's state at loading; saving fails if it has changed since."""
        self.version = version
        self.counted: dict[str, set[int]] = {}  # by event: the rules that counted it
        self.caused: dict[str, list[Caused]] = {}  # by event: its effects, the latest generation of each
        self.standings: dict[tuple[int, str], Standing] = {}
        self.buckets: dict[tuple[int, str], dict[int, str]] = {}
        self.held: dict[str, set[str]] = {}  # by participant: ids of badges
        self.participants: dict[str, str] = {}  # by id of a person who has several: the id that the person goes by
        self.ids: dict[str, tuple[str, ...]] = {}  # by the latter: all of them
        self.known: set[str] = set()  # ids that control has something of
        self.tracked: set[str] = set()  # ids whose shares are kept, that is, that are or were one of several
        self.shares: dict[tuple[int, str], Share] = {}  # by rule and id
        self.stood_in: set[int] = set()  # rules that anybody here has a standing in
        self.badges: set[str] = set()  # that anybody here has in `awards`
        # By id and badge: those of persons that were loaded whole, and new ones.
        self.awards: dict[tuple[str, str], HeldAward] = {}
        self.booked: dict[
            tuple[int, str], int
        ] = {}  # by rule and id, of the same persons: the points of earlier bookings
        self.journeys = RunState()
        self.person_of: Callable[[str], Person | None] = lambda _: None  # who a participant is; may ask control
        self.revoked: dict[
            str, set[str]
        ] = {}  # by participant: ids of badges that were taken back, and cannot be earned again
        # By rule and participant: points that other versions of the rule have paid, and this one has not been credited with yet.
        self.credits: dict[tuple[int, str], int] = {}
        # What is new, to be saved:
        self.new_effects: list[Caused] = []
        self.new_badges: list[tuple[str, str, Caused]] = []  # id, badge, the effect that gave it
        self.new_points: list[tuple[str, int, int, Caused]] = []  # id, points, points credited, the effect
        self.changed_events: set[str] = set()
        self.changed_standings: set[tuple[int, str]] = set()
        self.changed_shares: set[tuple[int, str]] = set()
        self.changed_awards: set[tuple[str, str]] = set()  # including those that were removed
        self.bookings: list[Booking] = []
        self.regrouped: dict[str, tuple[str, ...]] = {}  # by participant: the ids that are the person's now
        self.emptied: set[str] = set()  # ids that a person went by and no longer goes by
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
            or self.regrouped
            or self.journeys.is_changed
        )

    def fail(self, rule_no: int, event_id: str, why: str, /, *, too_costly: bool = False) -> None:
        """A rule could not be applied to an event, or was not since its condition would have been too costly."""
        count, _, _ = self.failures.get(rule_no, (0, "", ""))
        self.failures[rule_no] = (count + 1, event_id, why)
        if too_costly:
            self.passed_over.append((rule_no, event_id, why))

    def participant(self, id: str, /) -> str:  # noqa: A002
        """The id that the person of an id goes by."""
        return self.participants.get(id, id)

    def ids_of(self, participant: str, /) -> tuple[str, ...]:
        """All ids of a participant, as far as they matter here."""
        return self.ids.get(participant) or (participant,)

    def gather(self, participant: str, ids: Sequence[str], /) -> None:
        """From now on, these ids are one person."""
        self.ids.pop(participant, None)
        for each in ids:
            self.participants.pop(each, None)
            self.journeys.persons.pop(each, None)
        if len(ids) > 1:
            self.ids[participant] = tuple(ids)
            self.participants |= dict.fromkeys(ids, participant)
            self.journeys.persons |= dict.fromkeys(ids, participant)

    def was_counted(self, event_id: str, rule_no: int, /) -> bool:
        return rule_no in self.counted.get(event_id, ())

    def count(self, event_id: str, rule_no: int, /) -> None:
        self.counted.setdefault(event_id, set()).add(rule_no)
        self.changed_events.add(event_id)

    def standing(self, rule_no: int, participant: str, /) -> Standing:
        return self.standings.get((rule_no, participant)) or Standing()

    def stand(self, rule_no: int, participant: str, standing: Standing, /) -> None:
        self.standings[rule_no, participant] = standing
        self.stood_in.add(rule_no)
        self.changed_standings.add((rule_no, participant))

    def share(self, rule_no: int, id: str, completions: int, /) -> None:  # noqa: A002
        """An event of an id has brought its person completions."""
        if id in self.tracked and completions:
            held = self.shares.get((rule_no, id)) or Share()
            self.put_share(rule_no, id, Share(held.completions + completions, held.corrected))

    def put_share(self, rule_no: int, id: str, share: Share, /) -> None:  # noqa: A002
        self.shares[rule_no, id] = share
        self.changed_shares.add((rule_no, id))

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
        self.known.add(participant)

    def cause(self, effect: Caused, /) -> None:
        self.caused.setdefault(effect.event_id, []).append(effect)
        self.new_effects.append(effect)

    def award(self, id: str, badge: str, effect: Caused, /) -> None:  # noqa: A002
        """An event of an id has earned its person a badge."""
        self.held.setdefault(self.participant(id), set()).add(badge)
        self.new_badges.append((id, badge, effect))
        self.badges.add(badge)
        self.awards[id, badge] = HeldAward(effect.rule_no, effect.event_id, effect.at_ms)
        self.share(effect.rule_no, id, 1)
        self.known.add(id)

    def grant(self, id: str, points: int, credited: int, effect: Caused, /) -> None:  # noqa: A002
        """Points paid; credited: those that are not, since other versions of the rule have paid them."""
        self.new_points.append((id, points, credited, effect))
        self.known.add(id)
        if credited:
            self.credits[effect.rule_no, self.participant(id)] -= credited
