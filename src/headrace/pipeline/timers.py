"""The work that journeys leave for later: fires timers, sends emitted events through intake, and hands replies to waiting runs.

One thread does it, under the lease `timers`. Emitted events are saved in the transaction that moves their run, and go through
intake under their own dedup key: after a crash in between they are sent again, and stored once. A timer fires as of the time for
which it was set, and only once every event received before that has been reacted to. So a server that was down catches up in
chronological order, and logs that it does.
"""

import secrets
from collections.abc import Callable, Sequence

import structlog

from headrace.model.batch import Item
from headrace.model.event import Tenant, received_at_ms
from headrace.model.journeys import Answered, RunState
from headrace.model.reaction_state import State
from headrace.pipeline.due_timers import DueTimers, Lateness
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.journeys import RunChanges
from headrace.pipeline.loop import Loop
from headrace.ports.control import ControlFailed, LeaseLost
from headrace.ports.journeys import JourneyWork, Replies, RunPruning
from headrace.reactions.journeys.program import Journey
from headrace.reactions.stage import journeys_in

_log = structlog.get_logger("headrace.timers")
_AT_ONCE = 200  # timers or replies in one transaction, which holds up others who write to control
_EMITS_AT_ONCE = 500
_LONGEST_WAIT_S = 3600.0
_BLOCKED_WAIT_S = 1.0
_PRUNE_EVERY_MS = 600_000
_PRUNED_AT_ONCE = 500


class Timers:
    """Works in its own thread, `loop`; a start resumes where it was stopped. Any thread may call the methods but `step`.

    `fired`, `emitted`: the numbers of timers and events since the start.
    """

    def __init__(
        self,
        work: JourneyWork,
        replies: Replies,
        changes: RunChanges,
        *,
        accept: Callable[[Sequence[Item]], object],
        last: Callable[[], int],
        reacted: Callable[[Tenant], int],
        holds: ErasureHolds,
        want: Callable[[int], None] = lambda _position: None,
        clock_ms: Callable[[], int],
        on_step: Callable[[str], None] = lambda _step: None,
        look_every_s: float | None = None,
        pruning: RunPruning | None = None,
        keep_ms: int = 0,
    ) -> None:
        """accept: makes events durable before it returns. last: the position of the last acknowledged event.

        reacted: the position up to which a tenant's events have been reacted to. want: asks for events up to a position to be
        stored soon, since timers wait for their reactions. on_step: called with "emit" and "emitted"
        before and after events go through intake, with "fire" and "fired" before and after timers are saved. look_every_s: how
        often to look for work that another process has left; None if there are no other processes.
        pruning: deletes runs that ended `keep_ms` ago; None: they are kept.
        """
        self.fired = self.emitted = 0
        self._work = work
        self._replies = replies
        self._changes = changes
        self._accept = accept
        self._last = last
        self._reacted = reacted
        self._holds = holds
        self._want = want
        self._clock_ms = clock_ms
        self._on_step = on_step
        self._look_every_s = look_every_s or _LONGEST_WAIT_S
        self._owner = secrets.token_hex(8)  # new at each start: see `Leases.take`
        self._pruning = pruning
        self._keep_ms = keep_ms
        self._pruned_ms = 0
        self._due = DueTimers()
        self._lateness = Lateness()
        self._is_known = False
        self._has_emits = self._has_replies = False
        self._is_blocked = self._is_others = False
        self._poked = False
        self.loop = Loop("timers", self._turn)

    def lag_ms(self) -> int:
        """How long the first due timer has waited; 0 if none is due."""
        first = self._due.first_ms()
        return 0 if first is None else max(0, self._clock_ms() - first)

    def on_changed(self, tenant: Tenant, state: RunState, /) -> None:
        """Called when runs have been saved: there may be new timers and events to emit."""
        due = [run.due_ms for run in state.changed if run.due_ms is not None]
        is_earlier = bool(due) and self._due.note(tenant, min(due))
        if state.emitted:
            self._has_emits = True
        if state.called:  # a call of a missing webhook is answered at once
            self._has_replies = True
        if is_earlier or state.emitted or state.called:
            self._wake()

    def on_reply(self) -> None:
        """Called when calls have ended."""
        self._has_replies = True
        self._wake()

    def on_lifted(self) -> None:
        """Called when a person is detached, for which emitted events may have waited."""
        self._wake()

    def on_reacted(self) -> None:
        """Called when events have been reacted to, for which timers may have waited."""
        if self._is_blocked:
            self._wake()

    def step(self) -> bool:
        """Do the work that is due; False if there was none. Raises ControlFailed, LeaseLost, and what intake raises."""
        if not self._is_known:
            self._learn()
        if not (self._has_emits or self._has_replies or self._due.by(self._clock_ms())):
            return False
        check = self._work.claim(self._owner)
        self._is_others = check is None
        if check is None:
            self._is_known = False  # another process does the work: look again later
            return False
        worked = self._send()
        worked |= self._answer(check)
        return self._fire(check) or worked

    def prune(self) -> bool:
        """Delete some runs that ended a while ago, once in a while; False if there are no more for now. Raises ControlFailed."""
        now_ms = self._clock_ms()
        if self._pruning is None or now_ms - self._pruned_ms < _PRUNE_EVERY_MS:
            return False
        before_ms = now_ms - self._keep_ms
        if self._pruning.has_old(before_ms):
            check = self._work.claim(self._owner)
            if check is not None and self._pruning.prune(before_ms, _PRUNED_AT_ONCE, check):
                return True
        self._pruned_ms = now_ms
        return False

    def _turn(self) -> bool:
        if not self.step() and not self.prune():
            self._rest()
        return True

    def _learn(self) -> None:
        for tenant, due_ms in self._work.next_due().items():
            self._due.note(tenant, due_ms)
        if self._work.emits(1):
            self._has_emits = True
        if self._replies.waiting(1):
            self._has_replies = True
        self._is_known = True

    def _rest(self) -> None:
        """Wait until the next timer is due, or somebody announces work."""
        first = self._due.first_ms()
        seconds = self._look_every_s if first is None else max(0.0, (first - self._clock_ms()) / 1000)
        if self._is_others:
            seconds = self._look_every_s
        elif self._is_blocked:
            seconds = _BLOCKED_WAIT_S
        self.loop.wait_for(lambda: self._poked or self.loop.closing, min(seconds, self._look_every_s))
        self._poked = False

    def _wake(self) -> None:
        self._poked = True
        self.loop.wake()

    def _send(self) -> bool:
        """Send emitted events through intake."""
        if not self._has_emits:
            return False
        self._has_emits = False
        with self._holds.nothing_emitted():
            held = self._holds.held()
            found = self._work.emits(_EMITS_AT_ONCE, held)
            if found or held:
                self._has_emits = True  # there may be more; of what is held `on_lifted` tells
            if not found:
                return False
            self._on_step("emit")
            self._accept([Item(index, emitted.event(tenant)) for index, (_, tenant, emitted) in enumerate(found)])
            self._on_step("emitted")
            self._work.emitted([number for number, _, _ in found])
        self.emitted += len(found)
        return True

    def _answer(self, check: Callable[[object], None]) -> bool:
        """Hand replies to the runs that wait for them."""
        if not self._has_replies:
            return False
        self._has_replies = False
        answered = self._replies.waiting(_AT_ONCE)
        if not answered:
            return False
        self._has_replies = True

        def work(state: State, knows: dict[int, Journey]) -> None:
            journeys = journeys_in(knows, state)
            for each in answered:
                run = state.journeys.runs.get(each.run_id)
                if run is not None:
                    reply = None if each.reply is None else each.reply.encode()
                    journeys.reply(run, each.attempt, each.at_ms, reply=reply, problem=each.problem)

        def settle(transaction: object) -> None:
            self._replies.done(transaction, [each.key for each in answered])
            self._on_step("answer")
            check(transaction)

        self._changes.change(answered[0].tenant, _ids(answered), work, settle)
        return True

    def _fire(self, check: Callable[[object], None]) -> bool:
        """Fire a batch of due timers for each tenant that has any, longest due first.

        What cannot be done for one delays no other: it is raised once all have had their turn.
        """
        now_ms = self._clock_ms()
        worked = self._is_blocked = False
        failed: Exception | None = None
        for tenant in self._due.by(now_ms):
            try:
                worked |= self._fire_of(tenant, now_ms, check)
            except (ControlFailed, LeaseLost):  # nobody's in particular
                raise
            except Exception as error:  # noqa: BLE001  ours
                _log.exception("timers_not_fired", project=tenant.project, mode=tenant.mode)
                failed = error
            if self.loop.closing:
                break
        if failed is not None and not worked:
            raise failed
        if not worked and not self._is_blocked:
            self._lateness.end()
        return worked

    def _fire_of(self, tenant: Tenant, now_ms: int, check: Callable[[object], None]) -> bool:
        # In this order: events acknowledged after this were not received before any of these timers.
        upto, reacted = self._last(), self._reacted(tenant)
        horizon_ms = now_ms if reacted >= upto else min(now_ms, received_at_ms(reacted + 1))
        noted_ms = self._due.take(tenant)
        try:
            due = self._work.due(tenant, horizon_ms, _AT_ONCE)
            if due:
                self._lateness.note(due[0][0], now_ms)
                self._keep(tenant, due, horizon_ms if len(due) < _AT_ONCE else due[-1][0], check)
            following = self._work.due(tenant, 2**62, 1)
        except BaseException:
            if noted_ms is not None:
                self._due.note(tenant, noted_ms)
            raise
        if following:
            self._due.note(tenant, following[0][0])
        if not due and following and following[0][0] <= now_ms:
            self._want(upto)
            self._is_blocked = True  # by events that have not been reacted to
        return bool(due)

    def _keep(
        self, tenant: Tenant, due: Sequence[tuple[int, str]], upto_ms: int, check: Callable[[object], None]
    ) -> None:
        fired = 0

        def work(state: State, knows: dict[int, Journey]) -> None:
            nonlocal fired
            runs = [run for run in state.journeys.runs.values() if run.due_ms is not None]
            fired = journeys_in(knows, state).fire(runs, upto_ms)

        def settle(transaction: object) -> None:
            self._on_step("fire")
            check(transaction)

        self._changes.change(tenant, [run_id for _, run_id in due], work, settle)
        self._on_step("fired")
        self.fired += fired
        self._lateness.count(fired)


def _ids(answered: Sequence[Answered]) -> list[str]:
    return sorted({each.run_id for each in answered})
