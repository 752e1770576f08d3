"""How a test waits for what another thread or process does: until it is there, for two minutes at most."""

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")
PATIENCE_S = 120  # much longer than it takes on a busy machine; it only says when a test has failed
# A look at a server costs milliseconds of processor, which is what others wait for: the longer the wait, the fewer looks.
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, _LONGER = 0.02, 0.1, 1.2


def until(look: Callable[[], Found], is_good: Callable[[Found], object] = bool) -> Found:
    """What was found once it is good. Raises AssertionError with what was found last."""
    give_up_at = time.monotonic() + PATIENCE_S
    pause_s = _FIRST_PAUSE_S
    while not is_good(found := look()):
        assert time.monotonic() < give_up_at, found
        time.sleep(pause_s)
        pause_s = min(pause_s * _LONGER, _LONGEST_PAUSE_S)
    return found


def ask_until_killed(ask: Callable[[], object]) -> None:
    """Raises what `ask` raises once nobody answers any more, or AssertionError if somebody still does."""
    until(ask, lambda _: False)
