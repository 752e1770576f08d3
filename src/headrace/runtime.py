"""Puts the parts together, and lets requests on the event loop wait for the threads. The only file that names adapters."""

import asyncio
import heapq
import itertools
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from headrace.check import Report, check
from headrace.control.database import open_database
from headrace.control.keyring import Keyring
from headrace.control.keys import Keys
from headrace.control.offsets import ControlOffsets
from headrace.control.reactions import ControlReactions
from headrace.control.replays import ReplayJobs
from headrace.control.rulebook import Rulebook
from headrace.control.scoreboard import Scoreboard
from headrace.errors import Unavailable
from headrace.event import StoredEvent, Tenant, received_at_ms
from headrace.filters import Selection
from headrace.folder import DataFolder
from headrace.intake import Intake
from headrace.jobs import ReplayRunner, plan
from headrace.log.sqlite import SqliteLog
from headrace.pace import Pace
from headrace.ports import ControlFailed, Reader, ReplayJob, StoreFailed, Trace
from headrace.reactor import Reactor
from headrace.relearn import relearn
from headrace.repeats import dedup_key
from headrace.rules import Shelf, load_rules
from headrace.settings import Settings
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.engine import Asking
from headrace.worker import Worker

Answer = TypeVar("Answer")
_BEHIND_MS = 250
_QUIET_MS = 1000


def clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Runtime:
    """A server without its HTTP. Open it anywhere, `start` and `stop` it on the event loop that serves."""

    def __init__(self, settings: Settings, *, on_step: Callable[[str], None] = lambda _step: None) -> None:
        """Take the data folder and open the log, the store and control in it.

        Raises SettingsError when another server holds the folder or it cannot be used, StoreFailed, Unavailable.
        """
        self.settings = settings
        self._folder = DataFolder(settings.data)
        engine = open_database(settings.data / "control.sqlite")
        self.keyring = Keyring(Keys(engine), settings.admin_key, clock_ms)
        self._offsets = offsets = ControlOffsets(engine)
        self.rulebook = Rulebook(engine)
        self.shelf = Shelf(self.rulebook)
        self.scoreboard = Scoreboard(engine)
        self.reactor = Reactor(ControlReactions(engine), offsets, partial(load_rules, self.rulebook), on_step)
        self.local_token = secrets.token_urlsafe(32)
        self.store = ClickHouseStore(
            f"chdb://{settings.data.resolve() / 'store'}",
            query_timeout_s=settings.query_timeout_s,
            query_max_memory_bytes=settings.query_max_memory_bytes,
            hot_tags=[tag for tag in settings.hot_tags.split(",") if tag],
        )
        self.log = SqliteLog(
            settings.data / "log.sqlite",
            clock_ms=clock_ms,
            floor=self.store.last(offsets.position()),  # should the log's file be lost, its positions never come again
            dedup_window_s=settings.dedup_window_s,
            dedup_max_bytes=settings.dedup_max_bytes,
            max_bytes=settings.log_max_bytes,
        )
        relearn(self.log, self.store)
        self.worker = Worker(
            self.log,
            self.store,
            offsets,
            settings,
            react=self.reactor.react,
            on_progress=self._on_progress,
            clock_ms=clock_ms,
            on_step=on_step,
        )
        self.intake = Intake(self.log, max_queue_bytes=settings.intake_queue_bytes, on_append=self.worker.notify)
        self.replays = ReplayJobs(engine)
        self.replay_runner = ReplayRunner(
            self.replays,
            self.store,
            self.reactor,
            pace=Pace(settings.replay_share, is_quiet=self._is_quiet, ask=self._ask_loop),
            reacted=lambda: self.worker.progress.reacted,
            is_busy=self._is_worker_busy,
            clock_ms=clock_ms,
            on_step=on_step,
        )
        self._readers = ThreadPoolExecutor(settings.query_readers, thread_name_prefix="reader")
        self._asking = 0
        self._asked_at_ms = 0
        self._visible = _Waiters(lambda: self.worker.progress.visible)
        self._reacted = _Waiters(lambda: self.worker.progress.reacted)
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.worker.start()
        self.intake.start()
        self.replay_runner.start()

    async def stop(self) -> None:
        """Append what waits, drain the log into the store, and close everything."""
        await asyncio.to_thread(self.replay_runner.stop)
        await asyncio.to_thread(self.intake.stop)
        await asyncio.to_thread(self.worker.stop)
        self.close()

    def close(self) -> None:
        """Close what was opened, and leave the folder to the next."""
        self._readers.shutdown()
        self.store.close()
        self.log.close()
        self._folder.release()

    def publish_address(self, host: str, port: int) -> None:
        """Write down where this server listens, for the commands on this machine that talk to it."""
        self._folder.publish(host, port, self.local_token)

    def check(self) -> Report:
        """Compare the log, the store and control. Takes its time: not for the event loop's thread."""
        return check(self.log, self.store, self._offsets)

    async def ask(self, question: Callable[[Reader], Answer], /) -> Answer:
        """Put a question to the store once it holds everything acknowledged before now.

        Raises Unavailable when too many questions wait, or the store is too far behind; and what the question raises.
        Cancelled, it ends the question's query, and returns when that has ended.
        """
        if self._asking >= self.settings.query_readers + self.settings.query_queue:
            raise Unavailable("Too many queries are waiting.")
        self._asking += 1
        self._asked_at_ms = clock_ms()
        try:
            await self._fresh()
            asking = Asking()
            work = self._readers.submit(self._answer, question, asking)
            try:
                return await asyncio.wrap_future(work)
            except asyncio.CancelledError:
                if not work.cancel():  # it has begun
                    await asyncio.to_thread(self.store.cancel, asking)
                raise
        finally:
            self._asking -= 1

    def _answer(self, question: Callable[[Reader], Answer], asking: Asking) -> Answer:
        with self.store.asking(asking):
            return question(self.store)

    async def plan_replay(self, tenant: Tenant, selection: Selection, force: bool, /) -> ReplayJob:
        """A new job that replays events acknowledged before now. Raises Unavailable, and what the reader raises."""
        upto = self.log.last()

        def make(reader: Reader) -> ReplayJob:
            job, event_ids = plan(reader, tenant, selection, force=force, upto=upto, now_ms=clock_ms())
            return self.replays.create(job, event_ids)

        try:
            job = await self.ask(make)
        except ControlFailed as error:
            raise Unavailable(str(error)) from error
        self.replay_runner.wake()
        return job

    def trace(self, event: StoredEvent, /) -> Trace:
        """What has become of a stored event. Takes its time: not for the event loop's thread. Raises Unavailable."""
        try:
            keyed = self.store.keyed(event.position - 1, event.position, limit=1)
        except StoreFailed as error:
            raise Unavailable(str(error)) from error
        held = self.log.read(event.position - 1, 1, 1)
        return Trace(
            event=event,
            repeat_known=bool(keyed) and self.log.knows(dedup_key(keyed[0].event)) == event.position,
            in_log=bool(held) and held[0].position == event.position,
            reacted=self.worker.progress.reacted >= event.position,
            effects=self.reactor.effects(event),
        )

    def _is_quiet(self) -> bool:
        """Whether nobody has sent an event or asked a question of late."""
        return clock_ms() - max(received_at_ms(self.log.last()), self._asked_at_ms) > _QUIET_MS

    def _ask_loop(self) -> Callable[[], float]:
        """Ask the event loop for a sign; what this gives tells how many seconds that has taken so far."""
        asked, answered = time.monotonic(), list[float]()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: answered.append(time.monotonic()))
        return lambda: (answered[0] if answered else time.monotonic()) - asked

    def _is_worker_busy(self) -> bool:
        """Whether the worker moves events just now, or new ones have waited for it for longer than a flush should take."""
        last, reacted = self.log.last(), self.worker.progress.reacted
        if last > reacted and self.worker.progress.flushing:
            return True
        return last > reacted and clock_ms() - received_at_ms(reacted) > _BEHIND_MS + self.settings.flush_interval_ms

    async def _fresh(self) -> None:
        """Read your writes: wait until all that was acknowledged is in the store."""
        await self._caught_up(self._visible, "The store has not caught up")

    async def settled(self) -> None:
        """Read your writes: wait until all that was acknowledged has been reacted to. Raises Unavailable."""
        await self._caught_up(self._reacted, "The reactions have not caught up")

    async def _caught_up(self, waiters: "_Waiters", problem: str) -> None:
        position = self.log.last()
        if waiters.reached() >= position:
            return
        self.worker.want(position)
        if not await waiters.wait(position, self.settings.freshness_timeout_s):
            raise Unavailable(f"{problem} with the events acknowledged before this query.")

    async def reacted(self, position: int, /) -> bool:
        """Wait until an event is stored and its reactions have run; False if the sync deadline passed first."""
        self.worker.want(position)
        return await self._reacted.wait(position, self.settings.sync_deadline_s)

    def _on_progress(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._visible.wake()
        self._reacted.wake()


class _Waiters:
    """Coroutines that wait until a position is `reached`. For the event loop's thread alone."""

    def __init__(self, reached: Callable[[], int]) -> None:
        self.reached = reached
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self._given_up = 0

    async def wait(self, position: int, timeout_s: float) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._heap, (position, next(self._order), future))
        self.wake()  # only now is it asked how far things are, so that no wake-up falls in between
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return False
        finally:
            if future.cancelled():
                self._forget_some()
        return True

    def _forget_some(self) -> None:
        """Those that wait no more stay among the others until they are as many; else they would while the store fails."""
        self._given_up += 1
        if self._given_up * 2 > len(self._heap):
            self._heap = [each for each in self._heap if not each[2].done()]
            heapq.heapify(self._heap)
            self._given_up = 0

    def wake(self) -> None:
        """End the waits for what is reached by now."""
        position = self.reached()
        while self._heap and self._heap[0][0] <= position:
            future = heapq.heappop(self._heap)[2]
            if not future.done():
                future.set_result(None)
