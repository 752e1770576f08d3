"""A compiled version of a journey: each step with its successors, and its conditions compiled. Pure."""

from collections.abc import Sequence

import msgspec

from headrace.model.journey_document import JourneyRule, Limits, Step, all_steps
from headrace.model.journeys import Entries
from headrace.model.zones import DAY_MS, Zone
from headrace.reactions.conditions import Condition, Malformed
from headrace.reactions.journeys.document import duration_ms, time_of_day_ms
from headrace.reactions.patterns import matches

END = ""


class Checked:
    """A condition, or the problem of one that an earlier version of this program accepted. Without a text it always holds."""

    def __init__(self, text: str | None, steps: frozenset[str]) -> None:
        self.condition: Condition | None = None
        self.refused = ""
        try:
            self.condition = None if text is None else Condition(text, steps)
        except Malformed as malformed:
            self.refused = f"it is no longer accepted: {malformed}"


class Op(msgspec.Struct, frozen=True):
    """A step and the ids of its successors: `then` and `other` after a branch, else `then`; END if there is none."""

    step: Step
    condition: Checked
    then: str
    other: str = END


class Journey:
    """One version of a journey; `no` is the number of the version."""

    def __init__(self, rule: JourneyRule, no: int) -> None:
        self.rule = rule
        self.no = no
        self.trigger = Checked(rule.trigger.when, frozenset())
        self.ops: dict[str, Op] = {}
        self._ids = frozenset(step.id for step in all_steps(rule.steps))
        self.first = self._link(rule.steps, END)

    def _link(self, steps: Sequence[Step], after: str) -> str:
        """Add steps followed by `after`. Returns the id of the first."""
        for index in reversed(range(len(steps))):
            step = steps[index]
            if step.branch is not None:
                then, other = self._link(step.branch.then, after), self._link(step.branch.else_, after)
                op = Op(step, Checked(step.branch.when, self._ids), then, other)
            else:
                when = step.wait_for.when if step.wait_for is not None else None
                op = Op(step, Checked(when, self._ids), after)
            self.ops[step.id] = op
            after = step.id
        return after

    def starts_by(self, name: str, /) -> bool:
        """Whether events of a name may start a run."""
        return matches(self.rule.trigger.event, name)

    def ends_by(self, name: str, /) -> bool:
        """Whether events of a name end every run."""
        return any(matches(pattern, name) for pattern in self.rule.exit)

    def may_enter(self, entries: Sequence[Entries], now_ms: int, /) -> str:
        """Why a person with these runs may not enter now, or ""."""
        limits = self.rule.entry
        if not isinstance(limits, Limits):
            return "has entered before" if any(each.runs for each in entries) else ""
        if limits.at_most is not None:
            active = sum(each.active for each in entries)
            return f"has {active} runs that go on" if active >= limits.at_most else ""
        last = max((each.last_ms for each in entries if each.runs), default=None)
        if last is not None and now_ms - last < duration_ms(limits.per or ""):
            return f"has entered within {limits.per}"
        return ""

    def is_about(self, name: str, /) -> bool:
        """Whether events of a name may start, move or end a run."""
        return any(matches(pattern, name) for pattern in self._patterns)

    @property
    def _patterns(self) -> list[str]:
        return self.rule.patterns()


def next_time_of_day(after_ms: int, time_of_day: str, zone: Zone, /) -> int:
    """The first moment after `after_ms` at which clocks in the zone show a time such as `09:00`.

    If clocks are set forward past it, the moment at which they are; if it occurs twice, the first one.
    """
    within_ms = time_of_day_ms(time_of_day)
    day = zone.day(after_ms)
    while True:
        found = _moment_of(day, within_ms, zone)
        if found > after_ms:
            return found
        day += 1


def _moment_of(day: int, within_ms: int, zone: Zone) -> int:
    local_ms = day * DAY_MS + within_ms
    near = [local_ms - DAY_MS, local_ms, local_ms + DAY_MS]
    offsets = {zone.offset_ms(each) for each in near}
    changes = [each for each in zone.since_ms if near[0] - DAY_MS <= each <= near[2] + DAY_MS]
    exact = [local_ms - offset for offset in offsets if zone.offset_ms(local_ms - offset) == offset]
    skipped = [
        each for each in changes if each - 1 + zone.offset_ms(each - 1) < local_ms <= each + zone.offset_ms(each)
    ]
    return min([*exact, *skipped])
