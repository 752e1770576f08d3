"""Leases: the exclusive right to do a piece of work. No I/O."""

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """The exclusive right to work on something, until it expires or somebody takes it over.

    name: the work, such as "partition/0" or "replay/replay_01". owner: the holder; each process start uses a new random name.
    fence: grows each time the lease is taken, so that a former holder is recognised even if it returns under its old name.
    """

    name: str
    owner: str
    fence: int
