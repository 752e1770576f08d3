"""Challenges: add facts to a participant's progress, and decide when that completes one. Pure.

Progress is kept in **buckets** by the events' own time: the day, week or month, or a single bucket. Buckets only grow, by sums
that do not depend on the order of their terms. So late and out-of-order events lead to the same progress and the same number of
completions as ordered ones; only the event that is named as the completing one may differ.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Context, Decimal
from hashlib import blake2b
from itertools import count

import msgspec

from headrace.model.reaction_state import Standing, State
from headrace.model.zones import UTC_ZONE, zone_of
from headrace.reactions.document import (
    ChallengeRule,
    Window,
    duration_ms,
    fixed_dates,
    goal_of,
    measure_field,
    measure_kind,
)
from headrace.reactions.facts import Fact, Scalar

STREAK_LOOKBACK_DAYS = 1100  # a streak is not followed further back
MAX_AMOUNT = 10**15
MAX_COMPLETIONS = 10**9  # per participant, so that the sum of all points fits into a database's integer
_HOUR_MS = 3_600_000
_EXACT = Context(prec=1000)  # room for every digit of a double: 309 before the point and 340 after it
_EPOCH_DAY = datetime(1970, 1, 1).toordinal()  # noqa: DTZ001


class Challenge:
    """A challenge rule, ready to run. `no` is the number of its version."""

    def __init__(self, rule: ChallengeRule, no: int) -> None:
        self.rule = rule
        self.no = no
        self.kind = measure_kind(rule)
        self.field = measure_field(rule)
        self.goal = goal_of(rule)
        self._window = rule.window or Window()
        self._zone = UTC_ZONE if rule.time_zone == "UTC" else zone_of(rule.time_zone)
        self._from_ms, self._to_ms = fixed_dates(self._window, self._zone)
        self.rolling = self._window.days or self._window.hours or 0
        self._ahead_ms = duration_ms(rule.ahead)
        self._back_ms = None if rule.back is None else duration_ms(rule.back)

    def untimely(self, at_ms: int, received_ms: int, /) -> str:
        """Why an event does not count, given its time and when it was received; "" if it may count."""
        if at_ms - received_ms > self._ahead_ms:
            return f"its time is {_days(at_ms - received_ms)} after it was received; the rule takes at most {self.rule.ahead}"
        if self._back_ms is not None and received_ms - at_ms > self._back_ms:
            return f"its time is {_days(received_ms - at_ms)} before it was received; the rule takes at most {self.rule.back}"
        return ""

    def bucket(self, at_ms: int, /) -> int | None:
        """The bucket of a moment; None outside the fixed dates."""
        if (self._from_ms is not None and at_ms < self._from_ms) or (self._to_ms is not None and at_ms > self._to_ms):
            return None
        if self._window.hours:
            return at_ms // _HOUR_MS
        if self.kind == "streak" or self._window.days or self._window.per == "day":
            return self._zone.day(at_ms)
        if self._window.per == "week":
            return (self._zone.day(at_ms) + 3) // 7  # 1970-01-01 was a Thursday; weeks begin on Mondays
        if self._window.per == "month":
            moment = datetime.fromordinal(self._zone.day(at_ms) + _EPOCH_DAY)
            return moment.year * 12 + moment.month - 1
        return 0

    def span(self, bucket: int, /) -> tuple[int, int]:
        """The first and the last bucket that are needed to judge a change in one bucket."""
        if self.rolling:
            return bucket - self.rolling + 1, bucket + self.rolling - 1
        if self.rule.freezes:  # runs on both sides may belong to one streak
            return bucket - STREAK_LOOKBACK_DAYS, bucket + STREAK_LOOKBACK_DAYS
        if self.kind == "streak":
            return bucket - STREAK_LOOKBACK_DAYS, bucket + 1
        return bucket, bucket

    def count(self, facts: Sequence[Fact], id: str, bucket: int, state: State, /) -> int:  # noqa: A002
        """Add the facts of one event to an id's progress. Returns how many times that completes the challenge for its person."""
        participant = state.participant(id)
        ids = state.ids_of(participant)
        if len(ids) == 1:
            times = self._count(facts, participant, bucket, state)
        else:
            together = State()
            together.buckets[self.no, participant] = self.together(
                [state.buckets.get((self.no, each), {}) for each in ids]
            )
            together.standings[self.no, participant] = state.standing(self.no, participant)
            times = self._count(facts, participant, bucket, together)
            if together.changed_standings:
                state.stand(self.no, participant, together.standing(self.no, participant))
            self._grow(facts, id, bucket, state)
        state.share(self.no, id, times)
        return times

    def outcome(self, buckets: Mapping[int, str], /) -> Standing:
        """The standing that some progress amounts to, in whatever order it was made."""
        sizes = self._sizes(buckets)
        best = max(sizes, default=Decimal(0))
        if not self.rule.repeat:
            completions = int(best >= self.goal)
        elif self._window.per:
            completions = sum(size >= self.goal for size in sizes)
        else:
            completions = sum(int(_EXACT.divide_int(size, self.goal)) for size in sizes)
        return Standing(min(completions, MAX_COMPLETIONS), format(best, "f"))

    def _sizes(self, buckets: Mapping[int, str]) -> list[Decimal]:
        """What each run, window or bucket comes to."""
        if self.rule.freezes:
            return [
                Decimal(longest_chain({start: int(length) for start, length in buckets.items()}, self.rule.freezes))
            ]
        if self.rolling:
            state = State()
            state.buckets[self.no, ""] = dict(buckets)
            return [self._window_value(state, "", end) for end in buckets]
        return [Decimal(held) if self.kind == "streak" else self._measure(held) for held in buckets.values()]

    def _grow(self, facts: Sequence[Fact], id: str, bucket: int, state: State) -> None:  # noqa: A002
        if self.kind == "streak":
            self._add_day(id, bucket, state)
        elif (value := self._add(state.bucket(self.no, id, bucket), facts)) is not None:
            state.put(self.no, id, bucket, value)

    def _count(self, facts: Sequence[Fact], participant: str, bucket: int, state: State) -> int:
        """As `count`, for one whose progress is all in one place."""
        if self.kind == "streak":
            before, after = self._add_day(participant, bucket, state)
        else:
            before = self._measure(state.bucket(self.no, participant, bucket))
            value = self._add(state.bucket(self.no, participant, bucket), facts)
            if value is None:
                return 0
            state.put(self.no, participant, bucket, value)
            after = self._measure(value)
        if self.rule.freezes:
            runs = state.buckets.get((self.no, participant), {})
            after = Decimal(longest_chain({start: int(length) for start, length in runs.items()}, self.rule.freezes))
        if self.rolling:
            after = max(self._window_value(state, participant, end) for end in range(bucket, bucket + self.rolling))
        standing = state.standing(self.no, participant)
        left = max(0, MAX_COMPLETIONS - standing.completions)
        times = min(self._times(before, after, standing.completions), left)
        best = max(Decimal(standing.best), after)
        state.stand(self.no, participant, Standing(standing.completions + times, format(best, "f")))
        return times

    def current_bucket(self, now_ms: int, /) -> int | None:
        """The bucket that counts at a moment; after fixed dates, still the last one."""
        if self._to_ms is not None and now_ms > self._to_ms:
            return None if self.kind == "streak" else self.bucket(self._to_ms)
        return self.bucket(now_ms)

    def value(self, state: State, participant: str, now_ms: int, /) -> Decimal:
        """The current progress: in the moment's window or, for a streak, of the days not yet interrupted."""
        bucket = self.current_bucket(now_ms)
        if bucket is None:
            return Decimal(0)
        if self.rolling:
            return self._window_value(state, participant, bucket)
        if self.kind == "streak":
            runs = state.buckets.get((self.no, participant), {})
            if self.rule.freezes:
                lengths = {start: int(length) for start, length in runs.items() if start <= bucket}
                return Decimal(chain_up_to(lengths, self.rule.freezes, bucket))
            unbroken = [int(length) for start, length in runs.items() if 0 <= bucket - start <= int(length)]
            return Decimal(max(unbroken, default=0))
        return self._measure(state.bucket(self.no, participant, bucket))

    def together(self, parts: Sequence[Mapping[int, str]], /) -> dict[int, str]:
        """The buckets of participants as those of one: as if all their events had been the one's."""
        found: dict[int, str] = {}
        if self.kind == "streak":
            days = {start + day for buckets in parts for start, run in buckets.items() for day in range(int(run))}
            for start in sorted(day for day in days if day - 1 not in days):
                length = next(number for number in count(1) if start + number not in days)
                found[start] = str(length)
            return found
        for buckets in parts:
            for bucket, value in buckets.items():
                found[bucket] = self._added(found[bucket], value) if bucket in found else value
        return found

    def size(self, best: str, /) -> Decimal:
        """A standing's `best` as a number."""
        return Decimal(best)

    def _added(self, one: str, other: str) -> str:
        if self.kind == "distinct":
            return " ".join(sorted({*one.split(), *other.split()})[: int(self.goal)])
        if self.kind == "count":
            return str(int(one) + int(other))
        return format(_EXACT.add(Decimal(one), Decimal(other)), "f")

    def _times(self, before: Decimal, after: Decimal, completions: int) -> int:
        if not self.rule.repeat:
            return int(after >= self.goal and not completions)
        if self._window.per:
            return int(before < self.goal <= after)
        return int(_EXACT.divide_int(after, self.goal)) - int(_EXACT.divide_int(before, self.goal))

    def _add(self, held: str, facts: Sequence[Fact]) -> str | None:
        """A bucket with facts added to it, or None if they add nothing."""
        if self.kind == "count":
            return str(int(held or 0) + len(facts))
        values = [fact.fields[self.field or ""] for fact in facts if self.field in fact.fields]
        if self.kind == "sum":
            amounts = [amount for value in values if (amount := _amount(value)) is not None]
            total = Decimal(held or 0)
            for amount in amounts:
                total = _EXACT.add(total, amount)
            return format(total, "f") if amounts else None
        # Values past the goal do not matter, so only the least ones are kept, whichever arrived first.
        marks = sorted({*held.split(), *map(_mark, values)})[: int(self.goal)]
        return " ".join(marks) if values else None

    def _measure(self, held: str) -> Decimal:
        return Decimal(len(held.split())) if self.kind == "distinct" else Decimal(held or 0)

    def _window_value(self, state: State, participant: str, end: int) -> Decimal:
        held = state.buckets.get((self.no, participant), {})
        window = [held[bucket] for bucket in range(end - self.rolling + 1, end + 1) if bucket in held]
        if self.kind == "distinct":
            return min(self.goal, Decimal(len({mark for marks in window for mark in marks.split()})))
        total = Decimal(0)
        for value in window:
            total = _EXACT.add(total, Decimal(value))
        return total

    def _add_day(self, participant: str, day: int, state: State) -> tuple[Decimal, Decimal]:
        """Mark a day. Returns how many times that completes the streak."""
        runs = state.buckets.get((self.no, participant), {})
        start = max((first for first in runs if day - STREAK_LOOKBACK_DAYS <= first <= day), default=day)
        length = int(runs.get(start, 0))
        if length and day < start + length:
            return Decimal(length), Decimal(length)
        if start + length != day:
            start, length = day, 0
        after = int(runs.get(day + 1, 0))
        if length + 1 + after > STREAK_LOOKBACK_DAYS:
            after = 0
        whole = length + 1 + after
        if after:
            state.put(self.no, participant, day + 1, "")
        state.put(self.no, participant, start, str(whole))
        if self.rule.repeat:  # the completions of the two runs before they were joined
            goal = int(self.goal)
            return Decimal((length // goal + after // goal) * goal), Decimal(whole)
        return Decimal(length), Decimal(whole)


def _days(milliseconds: int) -> str:
    return f"{milliseconds / 86_400_000:.3g} days"


def _amount(value: Scalar) -> Decimal | None:
    """A number as written, so that ten times 0.7 is 7; None if it is not a number, negative, or above MAX_AMOUNT."""
    if isinstance(value, bool | str) or not 0 <= value <= MAX_AMOUNT:
        return None
    return Decimal(repr(value))


def _mark(value: Scalar) -> str:
    """16 hex digits that represent a value among distinct ones."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return blake2b(msgspec.json.encode(value), digest_size=8).hexdigest()


def longest_chain(runs: Mapping[int, int], freezes: int, /) -> int:
    """The most days that consecutive runs (first day: length) have together, with at most so many days missing between them."""
    starts = sorted(runs)
    return max((_chain(starts[: end + 1], runs, freezes) for end in range(len(starts))), default=0)


def chain_up_to(runs: Mapping[int, int], freezes: int, today: int, /) -> int:
    """The days of the chain that is not broken yet: today may still be added, and each day missing before it takes a freeze."""
    starts = sorted(runs)
    if not starts:
        return 0
    missing = max(0, today - (starts[-1] + runs[starts[-1]] - 1) - 1)
    return _chain(starts, runs, freezes - missing) if missing <= freezes else 0


def _chain(starts: Sequence[int], runs: Mapping[int, int], freezes: int) -> int:
    """The days of the last run, and of earlier ones as far as the freezes reach."""
    days, left = runs[starts[-1]], freezes
    for before, start in zip(reversed(starts[:-1]), reversed(starts), strict=False):
        left -= start - (before + runs[before])
        if left < 0:
            break
        days += runs[before]
    return days
