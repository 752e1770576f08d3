"""Names the case that failed where one test goes through many: a test for each would pay for a key, a client and a query each."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def case(*what: object) -> Iterator[None]:
    """What fails within it says of which case."""
    try:
        yield
    except Exception as error:
        error.add_note(f"the case: {', '.join(map(str, what))}")
        raise
