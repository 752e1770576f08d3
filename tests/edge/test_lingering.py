"""The end of a connection whose client is still sending: how long, how much, and how soon the server stops listening."""

from collections.abc import Callable
from typing import Any

from headrace.http.lingering import MAX_DROPPED_BYTES, Lingering, ReplyTransport


class Timer:
    def __init__(self, when: float, work: Callable[[], None]) -> None:
        self.when, self.work, self.is_cancelled = when, work, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Loop:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now

    def call_later(self, seconds: float, work: Callable[[], None]) -> Timer:
        self.timers.append(Timer(self.now + seconds, work))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        until = self.now + seconds
        while due := [each for each in self.timers if each.when <= until and not each.is_cancelled]:
            first = min(due, key=lambda each: each.when)
            self.timers.remove(first)
            self.now = first.when
            first.work()
        self.now = until


class Transport:
    def __init__(self) -> None:
        self.said: list[str] = []
        self.write = self.said.append

    def write_eof(self) -> None:
        self.said.append("eof")

    def abort(self) -> None:
        self.said.append("abort")

    def is_closing(self) -> bool:
        return "abort" in self.said


def lingering(*, stopping: bool = False) -> tuple[Any, Any, Lingering]:
    loop: Any = Loop()
    transport: Any = Transport()
    return loop, transport, Lingering(transport, loop, stopping=stopping)


def test_the_server_ends_its_side_at_once_and_a_silent_client_within_five_seconds() -> None:
    loop, transport, _ = lingering()
    assert transport.said == ["eof"]
    loop.advance(4.9)
    assert transport.said == ["eof"]
    loop.advance(0.2)
    assert transport.said == ["eof", "abort"]


def test_a_client_that_keeps_sending_has_thirty_seconds() -> None:
    loop, transport, ending = lingering()
    for _ in range(29):
        ending.drop(b"x")
        loop.advance(1)
    assert not transport.is_closing()
    for _ in range(8):
        ending.drop(b"x")
        loop.advance(1)
    assert transport.is_closing()


def test_a_client_that_falls_silent_has_five_more_seconds() -> None:
    loop, transport, ending = lingering()
    loop.advance(4)
    ending.drop(b"x")
    loop.advance(5)
    assert not transport.is_closing()
    loop.advance(1.1)
    assert transport.is_closing()


def test_so_many_bytes_are_dropped_and_no_more() -> None:
    _, transport, ending = lingering()
    ending.drop(b"x" * (MAX_DROPPED_BYTES - 1))
    ending.drop(b"x")
    assert not transport.is_closing()
    ending.drop(b"x")
    assert transport.is_closing()


def test_at_shutdown_a_client_has_a_second_whether_it_sends_or_not() -> None:
    loop, transport, ending = lingering(stopping=True)
    ending.drop(b"x")
    loop.advance(0.9)
    assert not transport.is_closing()
    loop.advance(0.2)
    assert transport.said.count("abort") == 1
    loop, transport, ending = lingering()
    ending.end_soon()
    loop.advance(1.1)
    loop.advance(60)
    assert transport.said.count("abort") == 1


def test_a_connection_that_is_gone_is_not_looked_at_again() -> None:
    loop, transport, ending = lingering()
    ending.stop()
    loop.advance(60)
    assert transport.said == ["eof"]


def test_replies_go_to_the_transport_itself_and_its_closing_elsewhere() -> None:
    transport: Any = Transport()
    closed: list[bool] = []
    replies = ReplyTransport(transport, lambda: closed.append(True))
    replies.write("reply")  # pyright: ignore[reportArgumentType]
    replies.close()
    assert (transport.said, closed, replies.is_closing()) == (["reply"], [True], False)
