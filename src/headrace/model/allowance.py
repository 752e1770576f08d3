"""How much of a rate limit a key has left. No I/O."""

import msgspec


class Allowance(msgspec.Struct, frozen=True):
    """How many of `limit` requests of one kind in any `window_s` seconds are left.

    reset_s: seconds until the oldest counted request leaves the window. reset_at_s: that moment, in seconds since 1970.
    """

    kind: str
    limit: int
    window_s: int
    remaining: int
    reset_s: int
    reset_at_s: int
