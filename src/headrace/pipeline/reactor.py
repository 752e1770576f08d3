"""The reactor: runs the pure reactions over stored events, and keeps what they cause. Never decides what an event causes.

Each project and mode has a queue of its own, and takes its turn: so whoever has much to react to waits for itself alone. What
does not fit into memory is read from the store again. Judging holds no transaction open; saving checks that nothing has
changed since.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
import structlog

from headrace.model.entries import Record
from headrace.model.errors import InvalidRequest
from headrace.model.event import Tenant
from headrace.model.reaction_state import State
from headrace.pipeline.current_event import CurrentEvent
from headrace.pipeline.loop import Loop
from headrace.pipeline.reaction_queue import ReactionQueue, WaitingEvent
from headrace.pipeline.reactions import MOST_CONFLICTS, Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.ports.control import ControlFailed, LeaseLost, ReactionStates, StateChanged
from headrace.ports.log import Log
from headrace.ports.store import EventsInOrder
from headrace.reactions import stage
from headrace.reactions.stage import EventFacts, RuleSet

_log = structlog.get_logger("headrace.reactor")
_READ_EVENTS, _READ_BYTES = 10_000, 16 * 1024 * 1024
# One turn ends with the first of these. Who is alone may take longer: nobody waits, and a transaction costs some milliseconds.
_TURN_S, _TURN_ALONE_S = 0.02, 0.1
_TURN_EVENTS = 5_000
_TURN_EFFECTS = 2_000  # facts, and so rows: a transaction holds up others who write to control
_QUEUE_EVENTS, _QUEUE_BYTES = 20_000, 16 * 1024 * 1024  # of one project and mode
_ALL_QUEUES_BYTES = 128 * 1024 * 1024
_REFILL_EVENTS = 2_000
_ADVANCE_EVERY_S = 1.0
_MOST_ATTEMPTS = 2
_DRAIN_S = 2.0
_POISONOUS = f"{_MOST_ATTEMPTS} processes have ended while they reacted to this event, so it was passed over"


class _Head(msgspec.Struct, frozen=True, gc=False):
    """All that has to be read of an event to know whether a rule may be about it."""

    project: str
    mode: str
    name: str


_head_decoder = msgspec.json.Decoder(_Head)


class Reactor:
    """Reacts to new events in its own thread. Any thread may call what is public, but for `step` and `read`.

    `failed_events`: new events, since the start, that could not be reacted to.
    """

    def __init__(
        self,
        states: ReactionStates,
        rules: RuleTimelines,
        reactions: Reactions,
        *,
        log: Log,
        store: EventsInOrder,
        visible: Callable[[], int],
        current: CurrentEvent,
        on_progress: Callable[[], None] = lambda: None,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """visible: the position up to which events are stored. on_progress: called from this thread after each turn.

        on_step: called with "react" once new events were reacted to, before that is committed; with "reacted" after it.
        """
        self.failed_events = 0
        self._states = states
        self._rules = rules
        self._reactions = reactions
        self._log = log
        self._store = store
        self._visible = visible
        self._current = current
        self._on_progress = on_progress
        self._on_step = on_step
        self._loop = Loop("reactor", self.step)
        self._queues: dict[Tenant, ReactionQueue] = {}
        self._newcomers: deque[Tenant] = deque()  # who waits for a first turn: mostly little, and soon done
        self._waiting: deque[Tenant] = deque()  # who has more to do than one turn
        self._after_newcomer = False
        self._ahead: dict[Tenant, int] = {}  # after a crash: who had come further than the rest
        self._behind: set[Tenant] = set()  # as control has it
        self._poisonous: set[str] = set()
        self._read_upto = self._advanced = 0
        self._advanced_at = 0.0
        self._is_ready = self._is_log_short = False

    @property
    def failing(self) -> str:
        """What keeps the reactor from going on, or ""."""
        return self._loop.failing

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """End after the current turn, or a moment later if that is all it takes; the next start goes on from there."""
        until = time.monotonic() + _DRAIN_S
        while self.reacted_by_all() < self._visible() and not self.failing and time.monotonic() < until:
            self._loop.wake()
            time.sleep(0.005)
        self._loop.stop()

    def wake(self) -> None:
        """More events have been stored."""
        self._loop.wake()

    def reacted(self, tenant: Tenant, /) -> int:
        """Every event of the tenant up to this position has been reacted to."""
        queue = self._queues.get(tenant)
        return self._read_upto if queue is None else queue.reacted

    def reacted_by_all(self) -> int:
        """Every event up to this position has been reacted to."""
        return min([self._read_upto, *(queue.reacted for queue in list(self._queues.values()))])

    def committed(self) -> int:
        """The log is needed no more up to this position: what waits is read from the store."""
        return self._advanced

    def release_log(self) -> None:
        """Write down soon how far the log has been read: it is short of room."""
        self._is_log_short = True
        self._loop.wake()

    def lags(self) -> list[tuple[Tenant, int, int]]:
        """(tenant, position of the event that waits longest, events that wait in memory) of each that has events waiting."""
        return [(queue.tenant, queue.oldest(), len(queue.events)) for queue in list(self._queues.values())]

    def step(self) -> bool:
        """Read what has been stored, and give one turn; False when there was nothing to do. Raises ControlFailed, StoreFailed."""
        if not self._is_ready:
            self._recover()
        has_read = self._read()
        has_reacted = self._turn()
        self._advance(now=self._is_log_short or (not has_read and not has_reacted))
        return has_read or has_reacted

    def read(self, records: Sequence[Record], upto: int, /) -> None:
        """Queue those of the records that rules may be about; they are all that lie between the last position read and `upto`."""
        for record in records:
            if record.kind:  # a command, which nobody reacts to
                continue
            head = _head_decoder.decode(record.payload)
            rules = self._rules.at(head.project, record.position)
            if rules is None or rules.named(head.name) is None:
                continue
            tenant = Tenant(head.project, "test" if head.mode == "test" else "live")
            if record.position <= self._ahead.get(tenant, 0):
                continue
            queue = self._queues.get(tenant) or self._begin(tenant)
            if queue.is_short:
                continue
            full = len(queue.events) >= _QUEUE_EVENTS or queue.bytes >= _QUEUE_BYTES
            if full or sum(each.bytes for each in self._queues.values()) >= _ALL_QUEUES_BYTES:
                queue.is_short = True
                continue
            queue.add(WaitingEvent(record.position, record.id, record.payload, rules))
        self._read_upto = max(self._read_upto, upto)

    def _recover(self) -> None:
        """Go on where the last process stopped."""
        if died_at := self._current.left_behind():
            self._states.count_attempt(died_at)
            _log.warning("ended_while_reacting", event_id=died_at)
            self._current.clear()
        self._poisonous = self._states.poisonous(_MOST_ATTEMPTS)
        position, tenants = self._states.progress()
        self._read_upto = self._advanced = position
        self._behind = {tenant for tenant, (_, behind) in tenants.items() if behind}
        self._ahead = {tenant: reached for tenant, (reached, behind) in tenants.items() if not behind}
        for tenant in self._behind:
            self._begin(tenant, tenants[tenant][0], is_short=True)
        self._rules.forget(self.reacted_by_all())
        self._rules.refresh()
        self._is_ready = True

    def _begin(self, tenant: Tenant, reacted: int | None = None, *, is_short: bool = False) -> ReactionQueue:
        queue = ReactionQueue(tenant, self._read_upto if reacted is None else reacted, is_short=is_short)
        self._queues[tenant] = queue
        (self._waiting if is_short else self._newcomers).append(tenant)
        return queue

    def _read(self) -> bool:
        # In this order: rules that are applied after this look at how far the store has come judge only later events.
        upto = self._visible()
        if upto <= self._read_upto:
            return False
        self._rules.refresh()
        if not self._rules:
            self._read_upto = upto
            self._on_progress()
            return True
        records = self._log.read(self._read_upto, _READ_EVENTS, _READ_BYTES)
        records = [record for record in records if record.position <= upto]
        self.read(records, records[-1].position if records else upto)
        self._on_progress()
        return True

    def _turn(self) -> bool:
        """Let the next in line react for a while."""
        if not self._queues:
            return False
        # Newcomers go first, but only every other time, so that many of them cannot keep the others waiting for ever.
        self._after_newcomer = bool(self._newcomers) and not (self._after_newcomer and self._waiting)
        tenant = (self._newcomers if self._after_newcomer else self._waiting).popleft()
        queue = self._queues[tenant]
        try:
            if queue.is_short and not queue.events:
                self._refill(queue)
            if queue.events:
                self._react(queue)
        finally:
            if queue.events or queue.is_short:
                self._waiting.append(tenant)
            else:
                del self._queues[tenant]
        self._on_progress()
        return True

    def _refill(self, queue: ReactionQueue) -> None:
        """From the store, which has everything up to where the log has been read."""
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
            rules = self._rules.at(queue.tenant.project, event.position)
            if rules is not None and rules.named(event.name) is not None:
                queue.add(WaitingEvent(event.position, event.id, event, rules))
        if len(found) < limit:
            queue.is_short, queue.read_upto = False, upto
        else:
            queue.read_upto = found[-1].position
        if not queue.events:
            queue.reacted = queue.read_upto

    def _react(self, queue: ReactionQueue) -> None:
        """One turn: judge some events, keep what they cause, and note how far that is."""
        rules = queue.events[0].rules
        waiting: list[WaitingEvent] = []
        for each in queue.events:
            if each.rules is not rules or len(waiting) == _TURN_EVENTS:
                break
            waiting.append(each)
        turn_s = _TURN_ALONE_S if len(self._queues) == 1 else _TURN_S
        done, failed = self._try(queue, rules, waiting, turn_s)
        queue.drop(done)
        queue.reacted = self._reached(queue, waiting[done - 1], len(queue.events))
        self.failed_events += failed

    def _reached(self, queue: ReactionQueue, last: WaitingEvent, left: int) -> int:
        """Up to where everything is done once the event `last` is, and `left` events of the queue are not."""
        if left:
            return last.position
        return queue.read_upto if queue.is_short else self._read_upto

    def _try(
        self, queue: ReactionQueue, rules: RuleSet, waiting: Sequence[WaitingEvent], turn_s: float
    ) -> tuple[int, int]:
        """How many events were reacted to or given up, and how many of them were given up.

        What fails is tried again in halves, until the event is found that it fails for.
        """
        try:
            return self._keep(queue, rules, waiting, turn_s), 0
        except (ControlFailed, LeaseLost, StateChanged, MemoryError):  # not the events' fault: all of them again
            raise
        except Exception as error:  # noqa: BLE001  ours; it must hold up no other event, and a replay tries this one again
            if len(waiting) == 1:
                _log.error("reaction_failed", event_id=waiting[0].id, exc_info=error)
                return 1, 1
        return self._try(queue, rules, waiting[: len(waiting) // 2], turn_s)

    def _keep(self, queue: ReactionQueue, rules: RuleSet, waiting: Sequence[WaitingEvent], turn_s: float) -> int:
        """Judge as many events as a turn allows, and save what they cause; how many."""
        for _ in range(MOST_CONFLICTS):
            with self._reactions.lock_of(queue.tenant):
                done, state = self._judge(queue.tenant, rules, waiting, turn_s)
                if not state.is_changed:
                    return done
                position = self._reached(queue, waiting[done - 1], len(queue.events) - done)
                try:
                    self._states.save(queue.tenant, state, position, lambda _: self._on_step("react"))
                except StateChanged:
                    continue
            self._on_step("reacted")
            _tell(queue.tenant, rules, state)
            return done
        raise ControlFailed("Another writer keeps changing the state of this project's reactions.")

    def _judge(
        self, tenant: Tenant, rules: RuleSet, waiting: Sequence[WaitingEvent], turn_s: float
    ) -> tuple[int, State]:
        """How many events there was time for, and the state after them. Holds no transaction open."""
        until = time.perf_counter() + turn_s
        facts: list[EventFacts] = []
        passed_over: list[str] = []
        try:
            made = 0
            for each in waiting:
                if each.id in self._poisonous:
                    passed_over.append(each.id)
                    facts.append(EventFacts(each.id, "", 0, [], [], relevant=False))
                    continue
                self._current.enter(each.id)
                found = stage.facts_of_event(rules, each.id, each.event())
                facts.append(found)
                made += len(found.facts)
                if made >= _TURN_EFFECTS or time.perf_counter() > until:
                    break
            relevant = [each for each in facts if each.relevant or each.failures]
            if not relevant and not passed_over:
                return len(facts), State()
            state = self._states.load(tenant, stage.needs(rules, relevant))
            until = max(until, time.perf_counter() + turn_s)
            done = 0
            for each in facts:
                self._current.enter(each.event_id)
                if each.relevant or each.failures:
                    stage.react(rules, each, state)
                    _note_failures(each, state)
                done += 1
                if len(state.new_effects) >= _TURN_EFFECTS or time.perf_counter() > until:
                    break
        finally:
            self._current.clear()
        through = {each.event_id for each in facts[:done]}
        state.passed_over += [(0, event_id, _POISONOUS) for event_id in passed_over if event_id in through]
        return done, state

    def _advance(self, *, now: bool) -> None:
        """Write down how far reading has come, and who has not: together, so that nothing between the two is lost."""
        if self._read_upto == self._advanced and self._queues.keys() == self._behind:
            return
        if not now and time.monotonic() - self._advanced_at < _ADVANCE_EVERY_S:
            return
        behind = {tenant: queue.reacted for tenant, queue in self._queues.items()}
        self._states.advance(self._read_upto, behind, self._behind - behind.keys())
        self._behind = set(behind)
        self._ahead.clear()
        self._advanced = self._read_upto
        self._advanced_at = time.monotonic()
        self._is_log_short = False
        self._rules.forget(self.reacted_by_all())


def _note_failures(facts: EventFacts, state: State) -> None:
    for failure in facts.failures:
        count, _, _ = state.failures.get(failure.rule_no, (0, "", ""))
        state.failures[failure.rule_no] = (count + 1, facts.event_id, failure.why)
        if failure.too_costly:
            state.passed_over.append((failure.rule_no, facts.event_id, failure.why))


def _tell(tenant: Tenant, rules: RuleSet, state: State) -> None:
    """Name the rules whose conditions did not look at events: one line for each rule and turn."""
    last = {rule_no: (event_id, why) for rule_no, event_id, why in state.passed_over}
    for rule_no, (event_id, why) in last.items():
        _, rule, _ = rules.rules.get(rule_no, ("", None, ""))
        events = sum(no == rule_no for no, _, _ in state.passed_over)
        _log.warning(
            "events_passed_over",
            project=tenant.project,
            rule=rule.id if rule else None,
            events=events,
            event_id=event_id,
            why=why,
        )
