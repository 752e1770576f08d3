"""The wall clock. Everything else is given the time."""

import time


def clock_ms() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000
