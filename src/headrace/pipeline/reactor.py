"""The reactor: reads stored events from the log, and gives each project and mode its turn to react. Never judges an event itself.

Each project and mode has its own queue, so a project with a backlog delays no other. Events that do not fit into memory are
read from the store again.
"""

import time
from collections.abc import Callable, Sequence

import msgspec

from headrace.model.entries import Kind, Record
from headrace.model.errors import InvalidRequest
from headrace.model.event import HISTORY, Tenant
from headrace.model.person import may_say
from headrace.pipeline.current_event import CurrentEvent
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.loop import Loop
from headrace.pipeline.overruns import OverrunWatch
from headrace.pipeline.people import PeopleStage
from headrace.pipeline.reaction_queue import ReactionQueue, ReactionQueues, WaitingEvent
from headrace.pipeline.reaction_turns import ReactionTurns
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.recent_records import RecentRecords
from headrace.pipeline.rulesets import NO_RULES, RuleTimelines
from headrace.pipeline.statement_watch import StatementWatch
from headrace.ports.log import LogReader
from headrace.ports.reactions import ReactionStates
from headrace.ports.store import EventsInOrder
from headrace.reactions.ruleset import RuleSet

_READ_EVENTS, _READ_BYTES = 10_000, 16 * 1024 * 1024
# A turn's length. A project alone in the line gets longer turns: nobody waits, and a transaction costs some milliseconds.
_TURN_S, _TURN_ALONE_S = 0.02, 0.1
_REFILL_EVENTS = 2_000
_ADVANCE_EVERY_S = 1.0
_DRAIN_S = 2.0


_ABSENT = msgspec.Raw()


class _Head(msgspec.Struct, frozen=True, gc=False):
    """The part of an event that decides whether a rule may match it, and whether it may say something about people."""

    project: str
    mode: str
    name: str
    type: str = "track"
    traits: msgspec.Raw = _ABSENT


_head_decoder = msgspec.json.Decoder(_Head)


class Reactor:
    """Reacts to new events in its own thread. Any thread may call the public methods, except `step` and `read`.

    `failed_events`: how many new events, since the start, could not be reacted to.
    """

    def __init__(
        self,
        states: ReactionStates,
        rules: RuleTimelines,
        reactions: Reactions,
        *,
        log: LogReader,
        store: EventsInOrder,
        visible: Callable[[], int],
        current: CurrentEvent,
        people: PeopleStage,
        watch: StatementWatch,
        overruns: OverrunWatch,
        holds: ErasureHolds,
        recent: RecentRecords,
        on_progress: Callable[[], None] = lambda: None,
        on_read: Callable[[Sequence[Record]], None] = lambda _records: None,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """visible: the position up to which events are stored. on_progress: called from this thread after each turn.

        on_read: given what was read from the log, which is stored; must not wait.

        on_step: called with "react" once new events were reacted to, before that is committed; with "reacted" after it.
        """
        self.failed_events = 0
        self._states = states
        self._rules = rules
        self._log = log
        self._store = store
        self._visible = visible
        self._watch = watch
        self._holds = holds
        self._recent = recent
        self._turns = ReactionTurns(states, reactions, people, current, overruns, on_step)
        self._on_progress = on_progress
        self._on_read = on_read
        self._loop = Loop("reactor", self.step)
        self._queues = ReactionQueues()
        self._ahead: dict[Tenant, int] = {}  # after a crash: tenants that were further than the rest
        self._behind: set[Tenant] = set()  # as last saved in control
        self._read_upto = self._advanced = 0
        self._advanced_at = 0.0
        self._is_ready = self._is_log_short = False

    @property
    def failing(self) -> str:
        """The error that the reactor is stuck at, or ""."""
        return self._loop.failing

    @property
    def stuck(self) -> str:
        """Like `failing`, once it has failed three times in a row."""
        return self._loop.stuck

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """Stop after the current turn, or a moment later if the backlog is small; the next start resumes from there."""
        until = time.monotonic() + _DRAIN_S
        while self.reacted_by_all() < self._visible() and not self.failing and time.monotonic() < until:
            self._loop.wake()
            time.sleep(0.005)
        self._loop.stop()

    def wake(self) -> None:
        """More events have been stored."""
        self._loop.wake()

    def reacted(self, tenant: Tenant, /) -> int:
        """The position up to which every event of the tenant has been reacted to."""
        upto = self._read_upto  # before the queue, which may be begun in between
        queue = self._queues.get(tenant)
        return upto if queue is None else queue.reacted

    def progress(self) -> tuple[int, list[tuple[Tenant, int]]]:
        """The position up to which `reacted` is at least for everybody, but for these tenants, each with its own."""
        upto = self._read_upto  # before the queues, as above
        return upto, [(queue.tenant, queue.reacted) for queue in self._queues.all()]

    def has_passed(self, tenant: Tenant, position: int, /) -> bool:
        """Whether every event of the tenant up to a position has been reacted to, although the next may have to wait."""
        if self._read_upto < position:
            return False
        queue = self._queues.get(tenant)
        return queue is None or queue.oldest() > position

    def reacted_by_all(self) -> int:
        """The position up to which every event has been reacted to."""
        return min([self._read_upto, *(queue.reacted for queue in self._queues.all())])

    def committed(self) -> int:
        """The position up to which the reactor no longer needs the log: events that still wait are read from the store."""
        return self._advanced

    def release_log(self) -> None:
        """Save soon how far the log has been read, because the log is short of room."""
        self._is_log_short = True
        self._loop.wake()

    def lags(self) -> list[tuple[Tenant, int, int]]:
        """(tenant, position of its oldest waiting event, number of events waiting in memory) for each tenant with a backlog."""
        return [(queue.tenant, queue.oldest(), len(queue.events)) for queue in self._queues.all()]

    def step(self) -> bool:
        """Read newly stored events and run one turn; False if there was nothing to do. Raises ControlFailed, StoreFailed."""
        if not self._is_ready:
            self._recover()
        has_read = self._read()
        has_reacted = self._turn()
        self._advance(now=self._is_log_short or (not has_read and not has_reacted))
        return has_read or has_reacted

    def read(self, records: Sequence[Record], upto: int, /) -> None:
        """Queue the records that a rule may match or that may be about people.

        records: everything between the last position read and `upto`.
        """
        for record in records:  # before any event is queued: if this fails, all of them are read again
            if record.kind and record.kind == Kind.ERASURE:  # what comes after it waits until the person is detached
                self._holds.read(record.position, record.payload)
        # Most events concern no rule and nobody's profile, so for those this loop is all that the reactor costs.
        decode, steady = _head_decoder.decode, dict[str, RuleSet | None]()
        for record in records:
            if record.kind:  # a command: nothing reacts to it
                continue
            head = decode(record.payload)
            if record.tail >= HISTORY:
                rules = None
            else:
                try:
                    rules = steady[head.project]
                except KeyError:
                    rules = self._rules.at(head.project, record.position)
                    if self._rules.is_steady(head.project, record.position):
                        steady[head.project] = rules
            says = may_say(head.type, head.traits is not _ABSENT)
            if not says and (rules is None or rules.named(head.name) is None):
                continue
            tenant = Tenant(head.project, "test" if head.mode == "test" else "live")
            if record.position <= self._ahead.get(tenant, 0):
                continue
            queue = self._queues.get(tenant) or self._queues.begin(tenant, self._read_upto)
            if not queue.is_short:
                waiting = WaitingEvent(record.position, record.id, record.payload, rules or NO_RULES, says)
                self._queues.add(queue, waiting)
        self._read_upto = max(self._read_upto, upto)

    def _recover(self) -> None:
        """Resume where the last process stopped."""
        self._turns.recover()
        position, tenants = self._states.progress()
        self._behind = {tenant for tenant, (_, behind) in tenants.items() if behind}
        self._ahead = {tenant: reached for tenant, (reached, behind) in tenants.items() if not behind}
        for tenant in self._behind:
            self._queues.begin(tenant, tenants[tenant][0], is_short=True)
        self._read_upto = self._advanced = position  # after the queues: whoever sees none takes this for its progress
        self._rules.forget(self.reacted_by_all())
        self._rules.refresh()
        self._is_ready = True
        self._on_progress()  # an erasure that asked before may wait for what the last process has reacted to

    def _read(self) -> bool:
        # In this order: rules that are applied after this look at how far the store has come judge only later events.
        upto = self._visible()
        if upto <= self._read_upto:
            return False
        self._rules.refresh()
        if not self._rules and self._watch.is_quiet(self._read_upto):
            self._read_upto = upto
            self._recent.clear()
            self._on_progress()
            return True
        records = self._recent.take(self._read_upto)
        if not records:
            records = self._log.read(self._read_upto, _READ_EVENTS, _READ_BYTES)
        if records and records[-1].position > upto:
            records = [record for record in records if record.position <= upto]
        self.read(records, records[-1].position if records else upto)
        self._on_read(records)
        self._on_progress()
        return True

    def _turn(self) -> bool:
        """Run the turn of the next queue in line that has not to wait for an erasure."""
        for _ in range(len(self._queues)):
            queue = self._queues.next()
            if queue is None:
                return False
            try:
                if queue.is_short and not queue.events:
                    self._refill(queue)
                held = self._holds.first(queue.tenant)
                if held is not None and queue.events and queue.events[0].position > held:
                    continue
                if queue.events:
                    turn_s = _TURN_ALONE_S if len(self._queues) == 1 else _TURN_S
                    self.failed_events += self._turns.run(queue, turn_s, self._read_upto, held)
            finally:
                self._queues.end_turn(queue)
            self._on_progress()
            return True
        return False

    def _refill(self, queue: ReactionQueue) -> None:
        """Read the queue's next events from the store, which has everything up to where the log has been read."""
        upto, limit = self._read_upto, _REFILL_EVENTS
        while True:
            try:
                found = self._store.in_order(queue.tenant, queue.read_upto, upto, limit)
                break
            except InvalidRequest:  # they are too large
                if limit == 1:
                    raise
                limit = max(1, limit // 8)
        for event in found:
            rules = None if event.is_history else self._rules.at(queue.tenant.project, event.position)
            says = may_say(event.type, bool(event.traits))
            if says or (rules is not None and rules.named(event.name) is not None):
                queue.add(WaitingEvent(event.position, event.id, event, rules or NO_RULES, says))
        if len(found) < limit:
            queue.is_short, queue.read_upto = False, upto
        else:
            queue.read_upto = found[-1].position
        if not queue.events:
            queue.reacted = queue.read_upto

    def _advance(self, *, now: bool) -> None:
        """Save how far the log has been read and which tenants are behind that: in one transaction, so that no event is lost."""
        behind = {queue.tenant: queue.reacted for queue in self._queues.all()}
        if self._read_upto == self._advanced and behind.keys() == self._behind:
            return
        if not now and time.monotonic() - self._advanced_at < _ADVANCE_EVERY_S:
            return
        self._states.advance(self._read_upto, behind, self._behind - behind.keys())
        self._behind = set(behind)
        self._ahead.clear()
        self._advanced = self._read_upto
        self._advanced_at = time.monotonic()
        self._is_log_short = False
        self._rules.forget(self.reacted_by_all())
