"""Work that mostly waits, done for every SDK at once and asked for one by one. Knows no SDK."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Done = TypeVar("Done")


def at_once(work: Callable[[str], Done], names: Iterable[str]) -> Iterator[dict[str, "Future[Done]"]]:
    """For a fixture to yield from: each name's future, whose result() is what `work` returned, or raises what it raised."""
    with ThreadPoolExecutor(max_workers=16) as pool:
        yield {name: pool.submit(work, name) for name in names}
