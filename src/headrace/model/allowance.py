"""What a rate limit leaves a key. No I/O."""

import msgspec


class Allowance(msgspec.Struct, frozen=True):
    """What is left of `limit` requests of one kind in any `window_s` seconds.

    reset_s: seconds until the oldest of those that count no longer does. reset_at_s: the same as a time, in seconds since 1970.
    """

    kind: str
    limit: int
    window_s: int
    remaining: int
    reset_s: int
    reset_at_s: int
