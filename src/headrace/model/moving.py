"""What moving every event from one store into another talks about."""

from collections.abc import Mapping

import msgspec


class Day(msgspec.Struct, frozen=True):
    """A day of receipt in UTC, as YYYY-MM-DD: the events with `after` < position <= `upto`, of every tenant."""

    name: str
    after: int
    upto: int
    events: int


Summary = Mapping[tuple[str, str], tuple[int, str, str]]
"""By project and mode: how many events, a sum of hashes of their ids, and one of hashes of all they hold, in any order."""
