"""Who may do what only one may do. No I/O."""

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """The right to work on something alone, until it expires or somebody takes it over.

    name: what it is about, such as "partition/0" or "replay/replay_01". owner: who holds it; a new random name at each start.
    fence: grows each time the lease is taken, so a former holder is told apart even if it comes back under its old name.
    """

    name: str
    owner: str
    fence: int
