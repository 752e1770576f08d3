"""How much queries may do beside writes: less while a write waits long, more while none does. Knows no clock and no queries."""

_TOO_LONG_S, _MUCH_TOO_LONG_S = 0.02, 0.04
_SHORT_S = 0.008
_LEAST_REST = 0.1
# A write that waited a little too long is no reason to take two thirds of the readers' time from queries at once.
_FIRST_REST, _FIRST_REST_IF_MUCH, _LONGEST_REST = 0.5, 2.0, 8.0
_SOON_REST = 5.0  # what rests come to within 150 ms once they begin
# While writes wait, what a second of queries takes may grow several times over within a moment. Whoever is let in has to be
# answered even so, for a query that is refused after it has waited was let in in vain. Some take longer than those before them.
_HURRIED, _SAFE = 0.2, 0.8
# While writes go on, rests shrink slowly: many looks pass until the next write waits too long, and so few writes do.
_OVERLOADED, _NO_WRITE, _NO_QUEUE = 0.99, 0.97, 0.8


class GivingWay:
    """`rest`: for how many times the duration of a query its reader rests after it; 0 while writes are quick.

    Rests grow by half whenever a write has waited too long while queries were queuing (a few queries, one after the other,
    are not what makes writes wait), from a half on, or from two on if it has waited much too long. They shrink slowly while
    no write waits, and fast while no query queues.
    """

    def __init__(self, readers: int) -> None:
        self.rest = 0.0
        self._readers = readers

    def adapt(self, longest_wait_s: float, queuing: int, /) -> None:
        """longest_wait_s: how long a write has waited, at most, since the last look; 0 if there was none.

        queuing: how many queries wait for a reader.
        """
        if longest_wait_s > _TOO_LONG_S and queuing:
            first = _FIRST_REST_IF_MUCH if longest_wait_s > _MUCH_TOO_LONG_S else _FIRST_REST
            self.rest = min(max(first, self.rest * 1.5), _LONGEST_REST)
        elif longest_wait_s < _SHORT_S or not queuing:
            share = _NO_QUEUE if not queuing else _OVERLOADED if longest_wait_s else _NO_WRITE
            self.rest = self.rest * share if self.rest > _LEAST_REST else 0.0

    @property
    def readers(self) -> int:
        """How many queries may run at once."""
        return 1 if self.rest >= 1.0 else self._readers

    @property
    def pace(self) -> float:
        """How many seconds of queries can be done in a second."""
        return self.readers / (1 + self.rest)

    def reliable_pace(self, *, beside_many: bool) -> float:
        """The pace at which whoever is let in now is sure to get its turn, for the pace may fall at any moment.

        beside_many: whether many queries wait while writes go on, so that rests are likely to begin.
        """
        if self.rest:
            return min(_HURRIED * self.pace, _SAFE / (1 + _LONGEST_REST))
        return min(self.pace, _SAFE / (1 + _SOON_REST)) if beside_many else self.pace
