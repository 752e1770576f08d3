"""The wall clock. All other modules get the time as an argument."""

import time


def clock_ms() -> int:
    """Milliseconds since 1970 in UTC."""
    return time.time_ns() // 1_000_000
