"""The log stored by several workers, each some partitions of it: how far they have come, for the one that coordinates them.

Whatever follows the store (reactions, timers, deliveries, queries) goes by the position up to which every partition is stored, so
the log keeps one order for it. Nothing here stores an event.
"""

import time
from collections.abc import Callable, Sequence

import msgspec
import structlog

from headrace.pipeline.errands import Errands
from headrace.pipeline.loop import Loop
from headrace.pipeline.shared_progress import Feed, Listener, Wants
from headrace.pipeline.worker import Worker
from headrace.pipeline.worker_progress import WorkerProgress
from headrace.ports.channels import Channels
from headrace.ports.control import Offsets
from headrace.ports.log import Log

_log = structlog.get_logger("headrace.shared_storing")
_LOOK_EVERY_S = 0.5
_AWAY_S = 3.0  # what a worker has not said for so long does not count as its trouble any more
STORED = "stored"


class Stored(msgspec.Struct, frozen=True, array_like=True):
    """What the worker of a partition tells. visible: every event of the partition up to here is in the store.

    teller: new each time that the partition is taken. stored_events, flushes: of this teller. stuck: what it is stuck at, or "".
    """

    partition: int
    visible: int
    teller: str
    stored_events: int = 0
    flushes: int = 0
    stuck: str = ""


encode_stored = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Stored)


class SharedStoring:
    """In the place of a `Worker`, where several share the storing. Any thread may call the public methods.

    ease: see `Worker`; here nobody looks at it.
    """

    def __init__(
        self,
        channels: Channels,
        log: Log,
        offsets: Offsets,
        *,
        committed: Callable[[], Sequence[int]],
        begin: Callable[[int], None],
        probe: Callable[[], None],
        trim_upto: Callable[[int], int],
        progress: WorkerProgress,
        on_progress: Callable[[], None],
        on_look: Callable[[], None] = lambda: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """committed: what the worker of each partition has committed. begin: called once, first, with the least of these.

        offsets: where that is committed, for whoever needs the log or a position that is stored for good.
        trim_upto: up to where the log may be trimmed, given up to where it is stored.
        on_look: called twice a second.
        """
        self.progress = progress
        self.ease = 0.0
        self._log = log
        self._offsets = offsets
        self._committed = committed
        self._begin = begin
        self._probe = probe
        self._trim_upto = trim_upto
        self._on_progress = on_progress
        self._on_look = on_look
        self._monotonic_s = monotonic_s
        self._visible: list[int] = []
        self._told: dict[int, Stored] = {}
        self._told_at: dict[int, float] = {}
        self._looked_at = -_LOOK_EVERY_S
        self._loop = Loop("shared storing", self.step, idle_s=_LOOK_EVERY_S)
        self._errands = Errands(self._loop)
        self._listener = Listener(channels, STORED, self.hear)
        self._wants = Wants(channels)

    @property
    def failing(self) -> str:
        """The error that this, or the worker of a partition, is stuck at, or ""."""
        return self._loop.failing or self.stuck

    @property
    def stuck(self) -> str:
        """Like `failing`, once several steps in a row have failed."""
        since = self._monotonic_s() - _AWAY_S
        told = [each.stuck for each in list(self._told.values()) if self._told_at[each.partition] > since]
        return self._loop.stuck or next(filter(None, told), "")

    def start(self) -> None:
        self._listener.loop.start()
        self._wants.loop.start()
        self._loop.start()

    def stop(self) -> None:
        self._loop.stop()
        self._wants.loop.stop()
        self._listener.stop()

    def wait_until_tried(self, _timeout_s: float, /) -> None:
        """The workers of the partitions begin by themselves."""

    def run(self, work: Callable[[], None], /) -> None:
        """See `Worker.run`."""
        self._errands.run(work)

    def notify(self, _events: int, /) -> None:
        """The workers look by themselves."""

    def want(self, position: int, /) -> None:
        """Have every worker flush soon, because somebody waits for this position."""
        self._wants.want(position)

    def hear(self, message: bytes, /) -> None:
        """Take a worker's message in. What it says is stored is so, even if another has taken the partition since."""
        try:
            told = _decoder.decode(message)
        except msgspec.DecodeError:  # of another version of this program
            _log.warning("stored_unreadable")
            return
        was = self._told.get(told.partition)
        if was is not None and was.teller == told.teller:
            self.progress.stored_events += max(0, told.stored_events - was.stored_events)
            self.progress.flushes += max(0, told.flushes - was.flushes)
        self._told_at[told.partition] = self._monotonic_s()
        self._told[told.partition] = told
        self._loop.wake()

    def step(self) -> bool:
        """Look how far everybody has come. Raises ControlFailed, LeaseLost, StoreFailed, Unavailable."""
        self._errands.do()
        if not self._visible:
            self._probe()
            stored = self._committed()
            self._begin(min(stored))
            self._visible = list(stored)
            self.progress.ready = True
        for told in list(self._told.values()):
            if told.partition < len(self._visible):
                self._visible[told.partition] = max(self._visible[told.partition], told.visible)
        visible = min(self._visible)
        if visible > self.progress.visible:
            self.progress.visible = visible
            self._on_progress()
        if self._monotonic_s() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = self._monotonic_s()
            self._keep()
        return False

    def _keep(self) -> None:
        """Commit what all have committed, and let the log go of it: as in the steps 3 and 4 of a `Worker`."""
        stored = self._committed()
        self._visible = list(map(max, self._visible, stored))
        self._offsets.commit(min(stored))
        self._log.trim(self._trim_upto(min(stored)))
        self._on_look()


class StoredFeed(Feed):
    """Of a process that stores partitions."""

    def __init__(
        self, channels: Channels, *, tellings: Callable[[], Sequence[Stored]], want: Callable[[int], None]
    ) -> None:
        """tellings: one for each partition that is stored here now."""
        super().__init__(channels, STORED, lambda: map(encode_stored, tellings()), want)


AnyWorker = Worker | SharedStoring
"""What moves events to the store, as far as the rest of a server is concerned."""
