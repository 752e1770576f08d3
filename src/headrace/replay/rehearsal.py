"""The dry run of a rebuild, over however many events there are: what it would cause, and how it would correct the ledger.

The reactions run as in a real rebuild, in slices, over a state that only pretends to be saved: what they change goes to scratch
space and covers what control has. So memory does not grow with the number of events or participants, and control is only read.
"""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence

import msgspec

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.journeys import Entries, Run
from headrace.model.ledger import Change, Correction
from headrace.model.reaction_state import Caused, Needs, Standing, State
from headrace.model.rehearsal import Rehearsed
from headrace.ports.reactions import Reactions, ReactionState
from headrace.ports.scratch import Scratch
from headrace.ports.store import ReplayReader
from headrace.replay.pace import Pace
from headrace.replay.pages import pages, windows_of
from headrace.replay.rebuild import Rebuild


class Abandoned(Exception):
    """Nobody waits for the answer any more."""


class Rehearsals:
    """Rehearses rebuilds, one at a time. Any thread may call it."""

    def __init__(
        self,
        reader: ReplayReader,
        states: ReactionState,
        reactions_over: Callable[[ReactionState], Reactions],
        rebuild: Rebuild,
        *,
        scratch: Callable[[], Scratch],
        pace: Callable[[], Pace],
    ) -> None:
        """reactions_over: reactions under the rules in force that keep their state there."""
        self._reader = reader
        self._states = states
        self._reactions_over = reactions_over
        self._rebuild = rebuild
        self._scratch = scratch
        self._pace = pace
        self._one = threading.Lock()

    def run(self, tenant: Tenant, upto: int, gone: threading.Event, /) -> Rehearsed:
        """What a rebuild of the events up to a position would do now. Yields to live traffic as a replay job does.

        gone: set once nobody waits for the answer; then it raises Abandoned.
        Raises Unavailable while another one runs and if rules are applied meanwhile, and what the reader, the reactions and
        the scratch space raise.
        """
        if not self._one.acquire(blocking=False):
            raise Unavailable("Another dry run of a rebuild is running.", retry_after_s=10)
        try:
            scratch = self._scratch()
            try:
                return self._run(tenant, upto, gone, scratch)
            finally:
                scratch.close()
        finally:
            self._one.release()

    def _run(self, tenant: Tenant, upto: int, gone: threading.Event, scratch: Scratch) -> Rehearsed:
        applied = self._rebuild.applied(tenant.project)
        states = RehearsedStates(self._states, scratch)
        reactions, pace, done = self._reactions_over(states), self._pace(), Rehearsed()
        changes = _Changes(scratch)

        def check() -> bool:
            if gone.is_set():
                raise Abandoned
            if self._rebuild.applied(tenant.project) != applied:
                raise Unavailable("Rules were applied while the dry run was running: repeat it.")
            return True

        def end(events: int = 0) -> None:
            gone.wait(pace.end(events))
            check()

        windows = windows_of(self._reader, tenant, Filters(upto=upto))
        for page in pages(self._reader, tenant, windows, None, begin=pace.begin, end=end, goes_on=check):
            rest = page
            while rest:
                some, rest = rest[: pace.slice()], rest[pace.slice() :]
                pace.begin()
                states.goes_by.clear()
                outcome = reactions.replay(tenant, some, force=False, dry_run=False)
                changes.add(self._rebuild.changes(tenant.project, outcome.effects), states.goes_by)
                done.add(outcome, len(some))
                end(len(some))
        for corrections in self._rebuild.foresee(tenant, changes.take):
            done.correct(corrections)
            check()
        for left in changes.corrections():  # of participants that control does not know yet
            done.correct(left)
        return done


class _Changes:
    """What the rehearsed effects would change for each participant, in scratch space."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch

    def add(self, more: Mapping[tuple[str, str, str], Change], goes_by: Mapping[str, str]) -> None:
        """goes_by: by an id of those that are one of several, the id that the person goes by, whose points are corrected."""
        names = sorted({goes_by.get(name, name) for name, _, _ in more})
        held = {name: _decode_changes(value) for name, value in self._scratch.get("changes", names).items()}
        for (name, kind, rule_id), change in more.items():
            own = held.setdefault(goes_by.get(name, name), {})
            before = own.get((kind, rule_id), Change())
            own[kind, rule_id] = Change(before.due + change.due, before.paid + change.paid)
        self._scratch.put("changes", {name: _encode_changes(held[name]) for name in names})

    def take(self, names: Sequence[str]) -> dict[tuple[str, str, str], Change]:
        return {
            (name, *key): change
            for name, value in self._scratch.take("changes", names).items()
            for key, change in _decode_changes(value).items()
        }

    def corrections(self) -> Iterator[list[Correction]]:
        """What is left, as corrections of participants without any entry so far."""
        for name, value in self._scratch.items("changes"):
            found = [Correction(name, *key, change.due, change.paid) for key, change in _decode_changes(value).items()]
            yield [each for each in found if each.points]


_changes_decoder = msgspec.msgpack.Decoder(list[tuple[str, str, Change]])


def _encode_changes(changes: Mapping[tuple[str, str], Change]) -> bytes:
    return msgspec.msgpack.encode([(kind, rule_id, change) for (kind, rule_id), change in sorted(changes.items())])


def _decode_changes(value: bytes) -> dict[tuple[str, str], Change]:
    return {(kind, rule_id): change for kind, rule_id, change in _changes_decoder.decode(value)}


class _Covering(msgspec.Struct, omit_defaults=True):
    """What covers one id's state in control: by rule, and the badges that were added.

    standings, credits: of the id that a person goes by alone. buckets: "" where one was removed. runs: those that are active,
    and those that control holds to be active.
    """

    standings: dict[int, Standing] = {}
    buckets: dict[int, dict[int, str]] = {}
    badges: list[str] = []
    credits: dict[int, int] = {}
    runs: list[Run] = []
    entries: list[Entries] = []


class RehearsedStates:
    """Fits the ReactionState port. Loads what control has, covered by what was saved here; saves to scratch space alone.

    For events of which each comes once: marks and effects of events are not kept. For one thread.
    """

    def __init__(self, states: ReactionState, scratch: Scratch) -> None:
        self._states = states
        self._scratch = scratch
        self._in_control: set[str] = set()  # the runs of the state that was loaded last
        self.goes_by: dict[str, str] = {}  # as State.participants, of all that was loaded since it was cleared

    def load(self, tenant: Tenant, needs: Needs, /) -> State:
        """See the ReactionState port."""
        state = self._states.load(tenant, needs)
        self._in_control = set(state.journeys.runs)
        self.goes_by |= state.participants
        ids = {each for name in needs.participants for each in state.ids_of(state.participant(name))}
        for name, value in self._scratch.get("states", sorted(ids)).items():
            _cover(state, name, _covering_decoder.decode(value))
        return state

    def save(
        self,
        tenant: Tenant,  # noqa: ARG002  the port's
        state: State,
        /,
        position: int = 0,  # noqa: ARG002
        before_commit: Callable[[object], None] | None = None,
    ) -> None:
        """See the ReactionState port: here nobody else saves."""
        names = sorted(_changed_in(state))
        held = self._scratch.get("states", names)
        covering = {name: _covering_decoder.decode(held[name]) if name in held else _Covering() for name in names}
        for rule_no, name in state.changed_standings:
            covering[name].standings[rule_no] = state.standings[rule_no, name]
        for rule_no, name, bucket in state.changed_buckets:
            covering[name].buckets.setdefault(rule_no, {})[bucket] = state.bucket(rule_no, name, bucket)
        for name, badge, _ in state.new_badges:
            covering[name].badges.append(badge)
        for name, _, credited, effect in state.new_points:
            if credited:
                whose = state.participant(name)
                covering[whose].credits[effect.rule_no] = state.credits[effect.rule_no, whose]
        for run in state.journeys.changed:
            own = covering[run.person]
            own.runs = [each for each in own.runs if each.id != run.id]
            if run.status == "active" or run.id in self._in_control:
                own.runs.append(run)
            own.entries = list(state.journeys.entries.get(run.person, {}).values())
        self._scratch.put("states", {name: msgspec.msgpack.encode(each) for name, each in covering.items()})
        if before_commit is not None:
            before_commit(self)

    def effects(self, event_id: str, /) -> list[tuple[Caused, str, str]]:
        """See the ReactionState port."""
        return self._states.effects(event_id)


_covering_decoder = msgspec.msgpack.Decoder(_Covering)


def _cover(state: State, name: str, covering: _Covering) -> None:
    for rule_no, standing in covering.standings.items():
        state.standings[rule_no, name] = standing
    for rule_no, buckets in covering.buckets.items():
        held = state.buckets.setdefault((rule_no, name), {})
        held |= buckets
        for bucket in [bucket for bucket, value in held.items() if not value]:
            del held[bucket]
    if covering.badges:
        state.held.setdefault(state.participant(name), set()).update(covering.badges)
    for rule_no, credit in covering.credits.items():
        state.credits[rule_no, name] = credit
    state.journeys.runs |= {run.id: run for run in covering.runs}
    if covering.entries:
        state.journeys.entries[name] = {each.rule_no: each for each in covering.entries}


def _changed_in(state: State) -> set[str]:
    return (
        {name for _, name in state.changed_standings}
        | {name for _, name, _ in state.changed_buckets}
        | {name for name, _, _ in state.new_badges}
        | {state.participant(name) for name, _, credited, _ in state.new_points if credited}
        | {run.person for run in state.journeys.changed}
    )
