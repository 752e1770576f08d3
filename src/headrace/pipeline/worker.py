"""The worker: moves events from the log to the store, exactly once. One thread, the store's only writer. Does not react.

No single step makes it exactly once; the queries at the next start do: the committed position says where to resume, and the store
says which of the records after it are already there.
"""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from headrace.model.entries import Record, Unreadable
from headrace.model.event import first_position
from headrace.model.settings import Settings
from headrace.pipeline.commands import skip, split
from headrace.pipeline.errands import Errands
from headrace.pipeline.loop import Loop
from headrace.pipeline.months import of_one_month
from headrace.pipeline.portion import Portion, is_out_of_room
from headrace.pipeline.quarantine import put_aside
from headrace.pipeline.recent_records import RecentRecords
from headrace.pipeline.recovery import Recovery
from headrace.pipeline.worker_progress import WorkerProgress
from headrace.ports.control import LeaseLost, Offsets
from headrace.ports.erasures import ErasedEvents
from headrace.ports.log import Log
from headrace.ports.quarantine import PutAside
from headrace.ports.store import ErasableStore, StoreFailed, StoreRefused

_log = structlog.get_logger("headrace.pipeline.worker")
_LONGEST_BREATH_S = 0.1
_MOST_EASE = 3.0
_TRIM_EVERY_S = 1.0


class Worker:
    def __init__(
        self,
        log: Log,
        store: ErasableStore,
        offsets: Offsets,
        settings: Settings,
        *,
        progress: WorkerProgress | None = None,
        erased: ErasedEvents,
        put_aside: PutAside,
        commands: Callable[[int, int, bytes], None] = skip,
        needed_from: Callable[[], int],
        on_progress: Callable[[], None],
        on_stored: Callable[[Sequence[Record]], None] = lambda _records: None,
        recent: RecentRecords | None = None,
        clock_ms: Callable[[], int],
        probe: Callable[[], None] = lambda: None,
        settle: Callable[[], None] = lambda: None,
        spare_log_bytes: int | None = None,
        drain: bool = True,
        is_shared: bool = False,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """progress: what the worker writes its progress to, if others read it from before the worker was made.

        needed_from: returns the position up to which only the store needs the log.

        commands: called with the position, kind and payload of each command, in order, once every event before it is stored.
        Some events after it may be stored too, and events before it may still wait for the reactor. A committed command is not
        run again, but a command may run again after a crash before its commit, so it must recognise a repeat by its position.
        If it raises, the worker cannot go on.
        probe: writes something and removes it; called until it succeeds, before anything else. Raises StoreFailed, Unavailable.
        settle: returns once no insert that was sent before can store anything any more. Raises StoreFailed, LeaseLost.
        spare_log_bytes: how large the log may be while it keeps second copies; half of what it may hold, if None.
        drain: whether to store everything in the log before stopping. Not where others append, and another worker goes on.
        is_shared: whether it stores one partition beside others: it passes over positions that are others', and erases nothing.
        on_stored: given the events that were inserted, once they are visible; must not wait.
        recent: where the reactor finds what was stored last.
        on_progress, on_step: called from the worker's thread; `on_step` after each numbered step.
        """
        self.progress = progress or WorkerProgress()
        self._log = log
        self._store = store
        self._offsets = offsets
        self._portion = Portion(settings.flush_max_events, settings.flush_max_bytes)
        self._recovery = Recovery(
            *(log, store, offsets, erased, put_aside),
            portion=self._portion,
            settle=settle,
            clock_ms=clock_ms,
            is_shared=is_shared,
        )
        self._is_shared = is_shared
        self._passed_at = 0.0
        self._commands = commands
        self._put_aside = put_aside
        self._settings = settings
        self._needed_from = needed_from
        self._spare_log_bytes = settings.log_max_bytes // 2 if spare_log_bytes is None else spare_log_bytes
        self._on_progress = on_progress
        self._on_stored = on_stored
        self._recent = recent
        self._on_step = on_step
        self._clock_ms = clock_ms
        self._probe = probe
        self._position = 0
        self._unsure_upto: int | None = None  # later events up to here may be stored already; None: unknown yet
        self._wanted = 0
        self._idle = False
        self._gathering = False
        self.ease = 0.0
        self._gathered = 0  # events appended to the log since it was last read
        self._loop = Loop("worker", self._turn, drain=drain, on_failure=self._on_failure)
        self._trimmed_at = 0.0
        self._errands = Errands(self._loop)
        self._has_tried = threading.Event()

    @property
    def failing(self) -> str:
        """The error that the worker is stuck at, or ""."""
        return self._loop.failing

    @property
    def stuck(self) -> str:
        """Like `failing`, once several steps in a row have failed."""
        return self._loop.stuck

    def store_fails(self) -> bool:
        """Whether the store has failed the last step."""
        kind = self._loop.fails_with
        return kind is not None and issubclass(kind, StoreFailed)

    def start(self) -> None:
        self._loop.start()

    def wait_until_tried(self, timeout_s: float, /) -> None:
        """Return once the first turn has succeeded or failed, or the time is over."""
        self._has_tried.wait(timeout_s)

    def stop(self) -> None:
        """Drain the log into the store, then stop. Does not wait for a failing store: the log keeps the rest."""
        self._loop.stop()

    def ask_to_stop(self) -> None:
        """Like `stop`, without waiting: the thread may be amid an insert."""
        self._loop.ask_to_stop()

    def has_ended(self, timeout_s: float, /) -> bool:
        """Whether the worker's thread is over, after waiting for that so long at most."""
        return not self._loop.is_running_after(timeout_s)

    def notify(self, events: int) -> None:
        """events: the number of new entries in the log."""
        self._gathered += events
        # Waking a busy worker, or one that lets events gather, would cost every append a switch of threads.
        if self._idle or (self._gathering and self._gathered >= self._settings.flush_enough_events):
            self._loop.wake()

    def run(self, work: Callable[[], None], /) -> None:
        """Do some work in the worker's thread, between two steps, and wait for it. If that thread is not running, do it here.

        Raises what the work raises, and Unavailable if the worker ends first.
        """
        self._errands.run(work)

    def want(self, position: int, /) -> None:
        """Flush soon, because somebody waits for this position."""
        self._wanted = max(self._wanted, position)
        self._loop.wake()

    def step(self) -> bool:
        """Move one batch from the log to the store; False if there was none.

        Raises StoreFailed, ControlFailed or LeaseLost. It is then unknown what was stored, and the next call asks. While
        another worker has taken over, every call raises LeaseLost and stores nothing.
        """
        if self._unsure_upto is None:
            self._unsure_upto = self._recover()
        unsure_upto = self._unsure_upto
        # 1. Read. A crash here costs nothing: the log still has every record.
        wanted = self._wanted
        last = self._log.last()
        self._gathered = 0  # before reading: what arrives in between may count twice
        records = of_one_month(self._log.read(self._position, *self._portion.size()))
        if not records:
            if last > self.progress.visible:  # positions that a lost log assigned to events that will never come
                self.progress.visible = last
                self._on_progress()
            if self._wanted == wanted > last:  # a position of a log that its server has lost since
                self._wanted = 0
            self._pass_over(last)
            return False
        position = self._end_of(records, last)
        if records[-1].position < last:  # there is more than fits into one insert
            self._gathered = self._settings.flush_enough_events
        self._on_step("read")
        # 2. Insert what the store lacks, as one atomic part. After a crash here the store has all of the part or nothing, and
        #    the committed position is still before it: the next start asks the store which.
        self._unsure_upto = None
        events, commands = split(records)
        missing = self._recovery.missing(events) if records[0].position <= unsure_upto else events
        if missing:
            self._insert(missing)
        if self._recent is not None:
            self._recent.put(self._position, records)
        self.progress.visible = position
        self._on_progress()
        self._on_stored(missing)
        self._on_step("insert")
        # 3. Put aside what cannot be read, run commands, and commit. After a crash before the commit, the next start asks the
        #    store, so nothing is inserted or listed twice, and runs the commands again. After a crash behind it, all is done.
        for command in put_aside(commands, self._put_aside, self._clock_ms()):
            self._commands(command.position, command.kind, command.payload)
        self._offsets.commit(position)
        self._position = position
        self._unsure_upto = unsure_upto
        self.progress.stored_events += len(missing)
        self.progress.flushes += 1
        self._on_step("commit")
        # 4. Trim what was committed a while ago. A crash here leaves more in the log than it needs; the next trim removes it.
        self._trim()
        self._on_step("trim")
        return True

    def _end_of(self, records: Sequence[Record], last: int) -> int:
        """The position up to which these records are all that is to be stored. last: the log's, as of before it was read."""
        end = records[-1].position
        return last if self._is_shared and last > end and not self._log.read(end, 1, 1) else end

    def _pass_over(self, last: int) -> None:
        """Commit a position before which everything left is others', so that the log need not keep it for this worker."""
        if self._is_shared and last > self._position and time.monotonic() - self._passed_at >= _TRIM_EVERY_S:
            self._passed_at = time.monotonic()
            self._offsets.commit(last)
            self._position = last

    def _insert(self, records: Sequence[Record]) -> None:
        """Insert records. Finds those that the store can never accept by bisection, and puts them aside."""
        try:
            self._portion.insert(self._store, records)
        except StoreRefused as error:
            if len(records) > 1:
                middle = len(records) // 2
                self._insert(records[:middle])
                self._insert(records[middle:])
                return
            [record] = records
            why = f"the store cannot take it: {str(error)[:300]}"
            refused = Unreadable.at(record.position, record.tail, record.payload, why)
            put_aside([refused], self._put_aside, self._clock_ms())

    def _recover(self) -> int:
        """Find where to begin, and up to which position later events may be stored already."""
        self._position, stored_upto = self._recovery.begin(self._position)
        self.progress.visible = max(self.progress.visible, self._position)
        self._on_progress()
        return stored_upto

    def _trim(self) -> None:
        if time.monotonic() - self._trimmed_at < _TRIM_EVERY_S:
            return
        self._trimmed_at = time.monotonic()
        kept_from_ms = self._clock_ms() - int(self._settings.log_keep_s * 1000)
        upto = min(self._position, first_position(max(0, kept_from_ms)))
        if self._log.size_bytes() > self._spare_log_bytes:
            upto = self._position  # room for new events matters more than second copies of stored ones
        self._log.trim(min(upto, self._needed_from()))

    def _turn(self) -> bool:
        """One step and the pause after it. False only to stop."""
        self._errands.do()
        flushed_at = time.monotonic()
        self.progress.flushing = True
        try:
            if not self.progress.ready:
                self._probe()
            moved = self.step()
            if not moved:
                self._trim()
        finally:
            self.progress.flushing = False
        self.progress.ready = True
        self._has_tried.set()
        took_s = time.monotonic() - flushed_at if moved else 0.0
        if not moved:
            if self._loop.closing:
                return False
            self._idle = True  # before asking the log, so that an append in between is either seen or wakes this thread
            # The log is asked before the wait and not in it: while one on a server is slow to answer, nobody may have to wait for
            # the lock that `want` takes. What other processes append is found after a second at most.
            if self._log.last() <= self.progress.visible:
                self._loop.wait_for(self._has_work, _TRIM_EVERY_S)
            self._idle = False
        self._pace(flushed_at, took_s)
        return True

    def _on_failure(self, error: Exception, pause_s: float) -> None:
        if isinstance(error, LeaseLost):
            _log.warning("another_worker_has_taken_over", retry_in_s=pause_s, why=str(error))
        else:
            _log.error("worker_failed", retry_in_s=pause_s, exc_info=error)
        self._unsure_upto = None
        self._has_tried.set()
        if not is_out_of_room(error):
            return
        try:
            self._make_room()
        except Exception as failure:  # noqa: BLE001  it may not work either, and what failed first is what counts
            _log.warning("no_room_made", why=str(failure))

    def _make_room(self) -> None:
        """Trim everything that the store has: on a full disk, room matters more than a second copy."""
        stored = self._position or self._offsets.position()
        gone = self._log.trim(min(stored, self._needed_from()))
        self._log.give_back_room()
        _log.info("room_made", entries=gone)

    def _pace(self, flushed_at: float, took_s: float) -> None:
        """Let events gather between two inserts: until there are enough, or only for a moment if somebody waits for them.

        That moment is twice the time of the last insert. Otherwise an endless stream of queries would make the worker insert
        all the time, and take the processor away from them and everybody else. `ease` makes it longer, and so lets more queries
        share an insert: set it while writes have to wait, or queries do so anyway.
        """
        self._gathering = True
        self._loop.wait_for(self._has_enough, min(2 * took_s, _LONGEST_BREATH_S) * (1 + min(self.ease, _MOST_EASE)))
        rest_s = self._settings.flush_interval_ms / 1000 - (time.monotonic() - flushed_at)
        if rest_s > 0:
            self._loop.wait_for(lambda: self._has_enough() or self._wanted > self.progress.visible, rest_s)
        self._gathering = False

    def _has_work(self) -> bool:
        # What other processes append, this one learns of when somebody waits for it.
        return self._loop.closing or bool(self._errands or self._gathered) or self._wanted > self.progress.visible

    def _has_enough(self) -> bool:
        return self._loop.closing or bool(self._errands) or self._gathered >= self._settings.flush_enough_events
