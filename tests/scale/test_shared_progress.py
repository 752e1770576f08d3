"""What a worker tells and a gateway believes, over channels in memory."""

import queue
from collections.abc import Callable

import msgspec
import pytest

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.pipeline.shared_progress import ProgressCopy, ProgressFeed, Snapshot
from tests.scale.cluster import wait_until

A, B = Tenant("a", "live"), Tenant("b", "test")


class Channels:
    """Fits the port. `broken`: every call fails, and so does every subscription."""

    def __init__(self) -> None:
        self.broken = False
        self.closed = 0
        self.heard: dict[str, list[queue.Queue[bytes]]] = {}

    def publish(self, purpose: str, message: bytes, /) -> None:
        if self.broken:
            raise Unavailable
        for each in self.heard.get(purpose, []):
            each.put(message)

    def listen(self, purpose: str, /) -> "Hearing":
        if self.broken:
            raise Unavailable
        hearing = Hearing(self)
        self.heard.setdefault(purpose, []).append(hearing.waiting)
        return hearing


class Hearing:
    def __init__(self, channels: Channels) -> None:
        self.waiting: queue.Queue[bytes] = queue.Queue()
        self._channels = channels

    def next(self, timeout_s: float, /) -> bytes | None:
        if self._channels.broken:
            raise Unavailable
        try:
            return self.waiting.get(timeout=min(timeout_s, 0.02))
        except queue.Empty:
            return None

    def close(self) -> None:
        self._channels.closed += 1


def told(fence: int, visible: int, reacted: int = 0, **behind: int) -> bytes:
    tenants = {"a": A, "b": B}
    rows = [(tenants[name].project, tenants[name].mode, position) for name, position in behind.items()]
    return msgspec.msgpack.encode(Snapshot(fence, visible, reacted, rows, url=f"http://w{fence}"))


@pytest.fixture
def copy() -> ProgressCopy:
    return ProgressCopy(Channels(), Snapshot(0, 5, 4, [("a", "live", 2)]), on_progress=lambda: None)


def test_a_gateway_begins_with_what_control_knows(copy: ProgressCopy) -> None:
    assert copy.visible() == 5
    assert (copy.reacted(A), copy.reacted(B)) == (2, 4)
    assert not copy.has_worker
    assert copy.worker_url == ""


def test_it_takes_what_the_newest_worker_tells_and_no_older_ones_word(copy: ProgressCopy) -> None:
    copy.hear(told(3, 10, 9, b=7))
    assert (copy.visible(), copy.reacted(A), copy.reacted(B)) == (10, 9, 7)
    copy.hear(told(2, 99, 99))
    assert (copy.visible(), copy.reacted(A), copy.reacted(B)) == (10, 9, 7)
    assert copy.worker_url == "http://w3"
    copy.hear(told(4, 8, 8))  # a new one that has just begun
    assert copy.visible() == 10, "what was visible stays so"
    assert copy.reacted(B) == 8
    copy.hear(b"from another version")
    assert copy.worker_url == "http://w4"


def test_a_worker_that_is_stuck_is_believed_only_while_it_is_heard_of() -> None:
    clock = [100.0]
    copy = ProgressCopy(Channels(), Snapshot(0, 0, 0, []), on_progress=lambda: None, monotonic_s=lambda: clock[0])
    copy.hear(msgspec.msgpack.encode(Snapshot(1, 1, 1, [], "the store is away", "and so are reactions")))
    assert (copy.stuck, copy.reactions_stuck) == ("the store is away", "and so are reactions")
    clock[0] += 3
    assert (copy.stuck, copy.reactions_stuck) == ("", "")


def test_progress_and_wants_cross_and_do_so_again_after_the_channel_was_away() -> None:
    channels = Channels()
    now, wanted = [Snapshot(1, 10, 10, [])], list[int]()
    feed = ProgressFeed(channels, snapshot=lambda: now[0], want=wanted.append)
    copy = ProgressCopy(channels, Snapshot(0, 0, 0, []), on_progress=lambda: None)
    feed.start()
    copy.start()
    try:
        wait_until(lambda: copy.visible() == 10)
        wait_until(lambda: bool(channels.heard.get("wants")))
        copy.want(0, 12)
        wait_until(lambda: wanted == [12])
        channels.broken = True
        wait_until(lambda: bool(copy.failing))
        now[0] = Snapshot(1, 12, 11, [])
        channels.broken = False
        wait_until(lambda: copy.visible() == 12 and not copy.failing)
        heard = channels.heard["wants"]
        wait_until(lambda: len(heard) > 1)
        copy.want(0, 11)
        copy.want(0, 13)
        wait_until(lambda: wanted[-1] == 13)
        assert 11 not in wanted, "it was asked for by then"
    finally:
        closed = channels.closed
        copy.stop()
        feed.stop()
    assert channels.closed == closed + 2, "neither listens any more"


def test_whoever_has_told_or_asked_rests_and_whoever_listens_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = dict[str, Callable[[], bool]]()

    class GivenLoop:
        def __init__(self, name: str, step: Callable[[], bool], **_: object) -> None:
            steps[name] = step

        def wake(self) -> None: ...

    monkeypatch.setattr("headrace.pipeline.shared_progress.Loop", GivenLoop)
    channels, wanted = Channels(), list[int]()
    ProgressFeed(channels, snapshot=lambda: Snapshot(1, 10, 10, []), want=wanted.append)
    copy = ProgressCopy(channels, Snapshot(0, 0, 0, []), on_progress=lambda: None)
    listening = [steps["listening to progress"], steps["listening to wants"]]
    assert [step() for step in listening] == [True, True], "also while nothing is said"
    assert steps["progress"]() is False
    assert steps["wants"]() is False
    copy.want(0, 12)
    assert steps["wants"]() is False
    assert [step() for step in listening] == [True, True]
    assert (copy.visible(), wanted) == (10, [12])
    steps["wants"]()
    assert channels.heard["wants"][0].empty(), "it was asked for"
