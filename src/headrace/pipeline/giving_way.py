"""How much queries may do beside writes: less while a write waits long, more while none does. Knows no clock and no queries."""

_TOO_LONG_S = 0.02
_SHORT_S = 0.008
_LEAST_REST = 0.1
_FIRST_REST, _LONGEST_REST = 2.0, 8.0
# While writes go on, rests shrink slowly: many looks pass until the next write waits too long, and so few writes do.
_OVERLOADED, _NO_WRITE, _NO_QUEUE = 0.99, 0.97, 0.8


class GivingWay:
    """`rest`: for how many times the duration of a query its reader rests after it; 0 while writes are quick.

    Rests grow by half whenever a write has waited too long while queries were queuing (a few queries, one after the other,
    are not what makes writes wait). They shrink slowly while no write waits, and fast while no query queues.
    """

    def __init__(self, readers: int) -> None:
        self.rest = 0.0
        self._readers = readers

    def adapt(self, longest_wait_s: float, queuing: int, /) -> None:
        """longest_wait_s: how long a write has waited, at most, since the last look; 0 if there was none.

        queuing: how many queries wait for a reader.
        """
        if longest_wait_s > _TOO_LONG_S and queuing:
            self.rest = min(max(_FIRST_REST, self.rest * 1.5), _LONGEST_REST)
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
