"""Whether a worker whose store fails it leaves its share to others. Pure: the time comes in, as seconds of any clock."""

PATIENCE_LENGTHS, REST_LENGTHS = 1, 3


class Fitness:
    """What a worker knows of itself. It begins to rest, so that one that never reaches the store takes no share.

    A worker is well while the store does not fail it. One that has failed for as long as a lease lasts leaves its share to
    others, if one of these is well: where the store is down for all, nobody moves. It rests then for three times as long, so that
    one that can ask the store but not store moves seldom, and comes back once the store answers.
    """

    def __init__(self, lease_s: float) -> None:
        self._patience_s, self._rest_s = lease_s * PATIENCE_LENGTHS, lease_s * REST_LENGTHS
        self._failing_since_s: float | None = None
        self._rests_until_s: float | None = 0.0

    @property
    def is_well(self) -> bool:
        return self._failing_since_s is None and not self.rests

    @property
    def rests(self) -> bool:
        return self._rests_until_s is not None

    def note(self, now_s: float, /, *, fails: bool) -> None:
        """What the store does to it now."""
        if not fails:
            self._failing_since_s = None
        elif self._failing_since_s is None:
            self._failing_since_s = now_s

    def is_out_of_patience(self, now_s: float, /) -> bool:
        return self._failing_since_s is not None and now_s - self._failing_since_s >= self._patience_s

    def rest(self, now_s: float, /) -> None:
        """It has left its share to others."""
        self._failing_since_s, self._rests_until_s = None, now_s + self._rest_s

    def may_ask(self, now_s: float, /) -> bool:
        """Whether it has rested for long enough to ask whether the store answers again."""
        return self._rests_until_s is not None and now_s >= self._rests_until_s

    def recover(self) -> None:
        """The store answers."""
        self._rests_until_s = None
