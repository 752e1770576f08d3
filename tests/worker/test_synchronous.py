"""What a synchronous event is answered with once it is durable, whatever fails after that."""

import asyncio
from typing import Any

import pytest

from headrace.assembly.capabilities.events import EventIntake
from headrace.model.entries import Receipt
from headrace.model.errors import Unavailable
from headrace.model.event import Event, Tenant
from headrace.reactions.facts import Fact, fact_of

EVENT = Event("p", "live", "bricqs", "order", 0, user_id="u")
RECEIPT = Receipt(64, 7)
MADE = Fact("fact_1", "purchase")


class GivenReactions:
    def __init__(self, *, has_rules: bool, fails: bool) -> None:
        self._has_rules = has_rules
        self._fails = fails

    def has_rules(self, _project: str, /) -> bool:
        return self._has_rules

    def fact(self, _event_id: str, _event: Event, /) -> Fact:
        if self._fails:
            raise Unavailable("The control database failed.")
        return MADE


class GivenFreshness:
    def __init__(self, *, in_time: bool) -> None:
        self._in_time = in_time

    async def reacted(self, _tenant: Tenant, _position: int, /) -> bool:
        return self._in_time


class _Nobody:
    """Is not asked here."""

    accept = accept_history = in_place_of_repeats = None


NOBODY: Any = _Nobody()


@pytest.mark.parametrize(
    ("in_time", "has_rules", "fails", "expected"),
    [
        (True, False, False, fact_of(RECEIPT.id, EVENT)),
        (True, False, True, fact_of(RECEIPT.id, EVENT)),
        (True, True, False, MADE),
        (True, True, True, None),  # a refusal would have it sent again
        (False, True, False, None),
    ],
)
def test_an_event_that_is_durable_is_never_refused(
    in_time: bool, has_rules: bool, fails: bool, expected: Fact | None
) -> None:
    given: Any = GivenReactions(has_rules=has_rules, fails=fails)
    freshness: Any = GivenFreshness(in_time=in_time)
    intake = EventIntake(NOBODY, freshness, given, NOBODY, NOBODY, lambda: 0)
    assert asyncio.run(intake.fact_once_reacted(RECEIPT, EVENT)) == expected
