"""What `headrace export` and `headrace import` do while they move events: keep to a rate, draw a bar, say how fast they were."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from headrace.model.errors import InvalidRequest


class Pace:
    """Rests so that at most so many events a second are moved, from when it was made on; never, without a rate."""

    def __init__(self, rate: int | None) -> None:
        """Raises InvalidRequest for a rate at which nothing would ever be moved."""
        if rate is not None and rate < 1:
            raise InvalidRequest(f"--rate must be 1 or more; it is {rate}.")
        self._rate = rate
        self._began = time.monotonic()
        self._events = 0

    def keep(self, events: int, /) -> None:
        """Call after moving some events."""
        self._events += events
        if self._rate:
            time.sleep(max(0.0, self._began + self._events / self._rate - time.monotonic()))

    def summary(self, what: str, count: int, /) -> str:
        """How many were moved since it was made, in one line."""
        seconds = time.monotonic() - self._began
        return f"{count} {what} in {seconds:.1f} s ({count / max(seconds, 0.001):,.0f} a second)"


@contextmanager
def progress_bar(name: str, *, in_bytes: bool = False) -> Generator[Callable[[int, int], None]]:
    """A function to call with how much is done so far, and in all. It draws a bar on a terminal, else nothing."""
    # Imported here: it takes a while, and most commands draw nothing.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(name), BarColumn(), DownloadColumn() if in_bytes else MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not is_terminal()) as progress:
        task = progress.add_task(name, total=None)

        def show(done: int, total: int) -> None:
            progress.update(task, completed=done, total=max(done, total))

        yield show


def is_terminal() -> bool:
    """Whether somebody watches stderr."""
    return sys.stderr.isatty()
