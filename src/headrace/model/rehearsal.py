"""What a rebuild would do, as its dry run finds out. No I/O."""

from collections.abc import Sequence

import msgspec

from headrace.model.effects import Effect, Outcome, points_paid
from headrace.model.ledger import Correction

MAX_SHOWN_EFFECTS = 10_000
MAX_SHOWN_CORRECTIONS = 1000
MAX_SHOWN_FAILURES = 100


class Rehearsed(msgspec.Struct, kw_only=True):
    """What a rebuild would do. `events` went through the reactions; `failed` did not.

    The lists hold the first effects, corrections and failures; the figures beside them count all. `points` would be paid by
    the replay, and `corrected_points` added by the corrections after it.
    """

    events: int = 0
    failed: int = 0
    suppressed: int = 0
    effects: int = 0
    points: int = 0
    corrections: int = 0
    corrected_points: int = 0
    first_effects: list[Effect] = []
    first_corrections: list[Correction] = []
    first_failures: list[tuple[str, str]] = []

    def add(self, outcome: Outcome, events: int) -> None:
        self.events += events - len(outcome.failed)
        self.failed += len(outcome.failed)
        self.suppressed += outcome.suppressed
        self.effects += len(outcome.effects)
        self.points += points_paid(outcome.effects)
        self.first_effects += outcome.effects[: MAX_SHOWN_EFFECTS - len(self.first_effects)]
        self.first_failures += outcome.failed[: MAX_SHOWN_FAILURES - len(self.first_failures)]

    def correct(self, corrections: Sequence[Correction]) -> None:
        self.corrections += len(corrections)
        self.corrected_points += sum(each.points for each in corrections)
        self.first_corrections += corrections[: MAX_SHOWN_CORRECTIONS - len(self.first_corrections)]
