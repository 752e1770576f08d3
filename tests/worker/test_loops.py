"""The loops of a server: what starts stops."""

import pytest

from headrace.assembly.loops import Loops


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
