"""The loop of a background thread: what it does with a step that fails, with one that has no work, and when it is stopped."""

import threading
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from headrace.pipeline import loop as loop_module
from headrace.pipeline.loop import Loop


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop_module, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(loop_module, "_LONGEST_PAUSE_S", 0.004)


class Step:
    """Fails or finds work as told, one outcome a call; `ended` is set once all have been used up, and then there is no work."""

    def __init__(self, *outcomes: bool | Exception) -> None:
        self._outcomes = list(outcomes)
        self.ended = threading.Event()
        self.calls = 0

    def __call__(self) -> bool:
        self.calls += 1
        if not self._outcomes:
            self.ended.set()
            return False
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def run(step: Step, on_failure: Callable[[Exception, float], None] | None = None) -> Loop:
    loop = Loop("test", step, on_failure=on_failure)
    loop.start()
    assert step.ended.wait(30)
    loop.stop()
    return loop


def test_a_step_that_fails_is_reported_and_tried_again_after_pauses_that_double_up_to_a_limit() -> None:
    told: list[tuple[str, float]] = []
    loop = run(Step(*(OSError(str(n)) for n in range(5))), lambda error, pause_s: told.append((str(error), pause_s)))
    assert told == [("0", 0.001), ("1", 0.002), ("2", 0.004), ("3", 0.004), ("4", 0.004)]
    assert (loop.failures, loop.failing) == (5, "")


def test_a_step_that_succeeds_between_makes_the_next_pause_short_again() -> None:
    told: list[float] = []
    run(Step(OSError(), OSError(), True, OSError()), lambda _error, pause_s: told.append(pause_s))
    assert told == [0.001, 0.002, 0.001]


def test_a_failure_that_nobody_wants_to_be_told_of_is_logged() -> None:
    with capture_logs() as logged:
        run(Step(OSError("told to"), True))
    [line] = logged
    assert (line["event"], line["loop"], line["retry_in_s"]) == ("step_failed", "test", 0.001)


@pytest.mark.parametrize(("error", "said"), [(OSError("x" * 600), "x" * 500), (OSError(), "OSError")])
def test_what_it_fails_at_is_said_until_it_succeeds(error: Exception, said: str) -> None:
    seen: list[str] = []
    loop = Loop("test", step := Step(error), on_failure=lambda _error, _pause_s: seen.append(loop.failing))
    loop.start()
    assert step.ended.wait(30)
    loop.stop()
    assert (seen, loop.failing) == ([said], "")


def test_it_is_stuck_at_what_has_failed_three_times_in_a_row_until_it_succeeds() -> None:
    seen: list[str] = []
    errors = [OSError("a"), OSError("b"), True, OSError("c"), OSError("d"), OSError("e"), OSError("f")]
    loop = Loop("test", step := Step(*errors), on_failure=lambda _error, _pause_s: seen.append(loop.stuck))
    loop.start()
    assert step.ended.wait(30)
    loop.stop()
    assert (seen, loop.stuck) == (["", "", "", "", "e", "f"], "")


def test_it_tells_of_which_kind_its_last_failure_was_until_it_succeeds() -> None:
    seen: list[object] = []
    loop = Loop(
        "test", step := Step(OSError("a"), KeyError("b"), True), on_failure=lambda *_: seen.append(loop.fails_with)
    )
    assert loop.fails_with is None
    loop.start()
    assert step.ended.wait(30)
    loop.stop()
    assert (seen, loop.fails_with) == ([OSError, KeyError], None)


def test_a_loop_that_is_stopped_drains_what_there_is_if_it_is_to() -> None:
    for drain, calls in ((True, 4), (False, 1)):
        entered, go = threading.Event(), threading.Event()
        rest = Step(True, True)

        def step(entered: threading.Event = entered, go: threading.Event = go, rest: Step = rest) -> bool:
            if not entered.is_set():
                entered.set()
                go.wait(30)
                return True
            return rest()

        loop = Loop("test", step, drain=drain)
        loop.start()
        assert entered.wait(30)
        stopping = threading.Thread(target=loop.stop)
        stopping.start()
        assert loop.wait_for(lambda loop=loop: loop.closing, 30)
        go.set()
        stopping.join(30)
        assert rest.calls + 1 == calls


def test_a_loop_that_was_never_started_can_be_stopped() -> None:
    Loop("test", Step()).stop()
