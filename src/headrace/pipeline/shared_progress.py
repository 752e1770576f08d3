"""How far the active worker has come, told to every gateway, and what gateways wait for, told to it.

Nothing of it is kept on the way: the worker says it again every half second, and control has the positions that were committed,
from which a gateway begins. So a lost message costs a waiting query half a second, and nothing is written to disk for it.
"""

import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import structlog

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.pipeline.loop import Loop
from headrace.ports.channels import Channels, Subscription

_log = structlog.get_logger("headrace.progress")
_AGAIN_S = 0.5
_LISTEN_S = 0.25  # how long a stop may wait for a listening thread
_AWAY_S = 3.0  # without a word, the worker is taken for dead
_PROGRESS = "progress"


class Snapshot(msgspec.Struct, frozen=True, array_like=True):
    """How far a worker has come.

    fence: of its lease, which grows with each worker. visible: every event up to here is in the store. reacted: every event up to
    here has been reacted to, but for those of the tenants `behind`, each with its own position. stuck, reactions_stuck: what
    keeps them from going on, or "". url: where the worker answers.
    """

    fence: int
    visible: int
    reacted: int
    behind: Sequence[tuple[str, str, int]]
    stuck: str = ""
    reactions_stuck: str = ""
    url: str = ""


_encoder, _decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(Snapshot)
_position_encoder, _position_decoder = msgspec.msgpack.Encoder(), msgspec.msgpack.Decoder(int)


class Listener:
    """Hears a channel in its own thread, and again after a failure."""

    def __init__(self, channels: Channels, purpose: str, heard: Callable[[bytes], None]) -> None:
        self._channels = channels
        self._purpose = purpose
        self._heard = heard
        self._listening: Subscription | None = None
        self.loop = Loop(f"listening to {purpose}", self._step, on_failure=_say_nothing)

    def stop(self) -> None:
        self.loop.stop()
        self._close()

    def _step(self) -> bool:
        try:
            if self._listening is None:
                self._listening = self._channels.listen(self._purpose)
            message = self._listening.next(_LISTEN_S)
        except Unavailable:
            self._close()
            raise
        if message is not None:
            self._heard(message)
        return True

    def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None


class Wants:
    """Tells those who store what somebody waits for. In a thread of its own, as the event loop must not wait for the server."""

    purpose = "wants"

    def __init__(self, channels: Channels) -> None:
        self._channels = channels
        self._wanted = self._asked = 0
        self.loop = Loop("wants", self._ask, on_failure=_say_nothing)

    def want(self, position: int, /) -> None:
        """Somebody waits for this position. Any thread may call it."""
        self._wanted = max(self._wanted, position)
        self.loop.wake()

    @staticmethod
    def position_of(message: bytes, /) -> int | None:
        """What a message asks for; None for one that cannot be read."""
        try:
            return _position_decoder.decode(message)
        except msgspec.DecodeError:  # of another version of this program
            _log.warning("want_unreadable")
            return None

    def _ask(self) -> bool:
        wanted = self._wanted
        if wanted > self._asked:
            self._channels.publish(self.purpose, _position_encoder.encode(wanted))
            self._asked = wanted
        return False


class Feed:
    """Tells others how far this process has come, and hears what they wait for. Any thread may call `wake`."""

    def __init__(
        self, channels: Channels, purpose: str, messages: Callable[[], Iterable[bytes]], want: Callable[[int], None]
    ) -> None:
        """messages: what is to be told now. want: called with each position that somebody waits for."""
        self._channels = channels
        self._purpose = purpose
        self._messages = messages
        self._want = want
        self._telling = Loop(purpose, self._tell, idle_s=_AGAIN_S, on_failure=_say_nothing)
        self._listener = Listener(channels, Wants.purpose, self._heard)

    def start(self) -> None:
        self._telling.start()
        self._listener.loop.start()

    def stop(self) -> None:
        self._listener.stop()
        self._telling.stop()

    def wake(self) -> None:
        """There is progress."""
        self._telling.wake()

    def _tell(self) -> bool:
        for message in self._messages():
            self._channels.publish(self._purpose, message)
        return False

    def _heard(self, message: bytes) -> None:
        position = Wants.position_of(message)
        if position is not None:
            self._want(position)


class ProgressFeed(Feed):
    """The worker's side."""

    def __init__(self, channels: Channels, *, snapshot: Callable[[], Snapshot], want: Callable[[int], None]) -> None:
        super().__init__(channels, _PROGRESS, lambda: [_encoder.encode(snapshot())], want)


class ProgressCopy:
    """A gateway's side: fits the Progress port. Believes no worker whose fence is older than one it has heard of."""

    def __init__(
        self,
        channels: Channels,
        known: Snapshot,
        *,
        on_progress: Callable[[], None],
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """known: what control knows was committed. on_progress: called from the listening thread."""
        self._last = known
        self._behind = _by_tenant(known)
        self._visible = known.visible
        self._monotonic_s = monotonic_s
        self._heard_at_s = monotonic_s() - _AWAY_S
        self._on_progress = on_progress
        self._listener = Listener(channels, _PROGRESS, self.hear)
        self._wants = Wants(channels)

    def start(self) -> None:
        self._listener.loop.start()
        self._wants.loop.start()

    def stop(self) -> None:
        self._wants.loop.stop()
        self._listener.stop()

    def visible(self, _partition: int = 0, /) -> int:
        """See the Progress port."""
        return self._visible

    def reacted(self, tenant: Tenant, _partition: int = 0, /) -> int:
        """See the Progress port."""
        upto, behind = self._behind  # both of one snapshot
        return behind.get(tenant, upto)

    def want(self, _partition: int, position: int, /) -> None:
        """See the Progress port."""
        self._wants.want(position)

    @property
    def has_worker(self) -> bool:
        """Whether a worker has been heard of just now."""
        return self._monotonic_s() - self._heard_at_s < _AWAY_S

    @property
    def worker_url(self) -> str:
        """Where the active worker answers; "" if there is none."""
        return self._last.url if self.has_worker else ""

    @property
    def stuck(self) -> str:
        """What keeps the worker from storing; "" for nothing, and while there is none, as another is about to take over."""
        return self._last.stuck if self.has_worker else ""

    @property
    def reactions_stuck(self) -> str:
        return self._last.reactions_stuck if self.has_worker else ""

    @property
    def failing(self) -> str:
        """Why the log's server cannot be listened to, or ""."""
        return self._listener.loop.failing

    def hear(self, message: bytes, /) -> None:
        """Take a worker's message in."""
        try:
            told = _decoder.decode(message)
        except msgspec.DecodeError:
            _log.warning("progress_unreadable")
            return
        if told.fence < self._last.fence:
            return
        self._last, self._heard_at_s = told, self._monotonic_s()
        self._behind = _by_tenant(told)
        self._visible = max(self._visible, told.visible)
        self._on_progress()


def _by_tenant(told: Snapshot) -> tuple[int, dict[Tenant, int]]:
    return told.reacted, {
        Tenant(project, "test" if mode == "test" else "live"): position for project, mode, position in told.behind
    }


def _say_nothing(_error: Exception, _pause_s: float, /) -> None:
    """The log's server says by itself when it fails and when it answers again."""
