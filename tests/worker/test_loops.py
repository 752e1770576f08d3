"""The loops of a server: what starts stops. What its wings tell each other, and the event loop that serves."""

import asyncio

import pytest

from headrace.assembly.loops import Loops
from headrace.assembly.serving_loop import ServingLoop
from headrace.assembly.signals import Signal
from headrace.model.errors import Unavailable


class Part:
    def start(self) -> None: ...

    def stop(self) -> None: ...


def test_loops_start_and_stop_in_orders_of_their_own() -> None:
    one, other = Part(), Part()
    loops = Loops(starting=[one, other], stopping=[one, other])
    assert (loops.starting, loops.stopping) == ((one, other), (one, other))
    assert Loops(starting=[one, other], stopping=[other, one]).stopping == (other, one)


def test_a_loop_that_would_never_be_stopped_started_or_would_be_so_twice_is_refused() -> None:
    one, other = Part(), Part()
    for starting, stopping in (
        ([one, other], [one]),
        ([one], [one, other]),
        ([one, one], [one, one]),
        ([one], [other]),
    ):
        with pytest.raises(ValueError, match="Every loop that starts must stop"):
            Loops(starting=starting, stopping=stopping)


def test_a_signal_reaches_every_listener_in_the_order_in_which_they_were_added() -> None:
    heard: list[tuple[str, int]] = []
    signal = Signal[[int]]()
    signal(1)
    signal.add(lambda number: heard.append(("first", number)), lambda number: heard.append(("second", number)))
    signal.add(lambda number: heard.append(("third", number)))
    signal(2)
    assert heard == [("first", 2), ("second", 2), ("third", 2)]


def test_an_event_loop_that_has_not_started_takes_no_work_and_is_not_waited_for() -> None:
    serving = ServingLoop()
    with pytest.raises(Unavailable, match="starting"):
        serving.run(lambda: asyncio.sleep(0))
    assert serving.ping()() >= 0


def test_threads_run_coroutines_on_the_event_loop_that_serves() -> None:
    async def serve() -> tuple[str, float]:
        serving = ServingLoop()
        serving.start()
        answered = serving.ping()
        return await asyncio.to_thread(serving.run, lambda: asyncio.sleep(0, "done")), answered()

    done, seconds = asyncio.run(serve())
    assert done == "done"
    assert seconds >= 0
