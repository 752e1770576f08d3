"""What is written down once a minute of keys and of the audit, with fakes of both."""

from collections.abc import Mapping, Sequence

import pytest

from headrace.model.keys import KeyUse
from headrace.ports.control import ControlFailed
from headrace.upkeep.bookkeeping import Bookkeeping


class Keys:
    """The part of TenantKeys that this needs."""

    def __init__(self) -> None:
        self.marked: list[dict[str, int]] = []
        self.counted: list[tuple[list[KeyUse], int]] = []
        self.fails = False

    def mark_used(self, used: Mapping[str, int], /) -> None:
        if self.fails:
            raise ControlFailed("no")
        self.marked.append(dict(used))

    def count_uses(self, uses: Sequence[KeyUse], before_ms: int, /) -> None:
        if self.fails:
            raise ControlFailed("no")
        self.counted.append((list(uses), before_ms))


class Audit:
    """The part of Audit that this needs."""

    def __init__(self, old: int) -> None:
        self.old = old
        self.before_ms: list[int] = []

    def prune(self, before_ms: int, most: int, /) -> int:
        self.before_ms.append(before_ms)
        gone = min(self.old, most)
        self.old -= gone
        return gone


def made(keys: Keys, audit: Audit, used: list[dict[str, int]]) -> Bookkeeping:
    return Bookkeeping(
        *(keys, audit),  # type: ignore[arg-type]
        take_used=lambda: used.pop(0) if used else {},
        keep_ms=400,
        clock_ms=lambda: 1000,
    )


def test_a_minute_without_use_writes_nothing() -> None:
    keys, audit = Keys(), Audit(0)
    assert made(keys, audit, []).step() is False
    assert keys.marked == []


def test_what_was_used_is_written_once() -> None:
    keys, audit = Keys(), Audit(0)
    bookkeeping = made(keys, audit, [{"a": 1}, {}, {"a": 2, "b": 3}])
    for _ in range(3):
        bookkeeping.step()
    assert keys.marked == [{"a": 1}, {"a": 2, "b": 3}]


def test_what_could_not_be_written_is_written_with_what_comes_later() -> None:
    keys, audit = Keys(), Audit(0)
    bookkeeping = made(keys, audit, [{"a": 1, "b": 1}, {"a": 2}])
    keys.fails = True
    with pytest.raises(ControlFailed):
        bookkeeping.step()
    keys.fails = False
    bookkeeping.step()
    assert keys.marked == [{"a": 2, "b": 1}]


def test_the_audit_is_pruned_a_slice_at_a_time_until_nothing_is_too_old() -> None:
    keys, audit = Keys(), Audit(2500)
    bookkeeping = made(keys, audit, [])
    assert [bookkeeping.step() for _ in range(3)] == [True, True, False]
    assert (audit.old, set(audit.before_ms)) == (0, {600})


def test_what_keys_were_used_for_is_written_once_also_if_that_takes_a_second_try() -> None:
    keys, one = Keys(), KeyUse("a", 600, "flux", "POST /x", "curl/8", 3, 650)
    later, other = (
        KeyUse("a", 600, "flux", "POST /x", "curl/8", 4, 710),
        KeyUse("b", 600, "flux", "POST /x", "", 1, 710),
    )
    minutes = [[one], [later, other], []]
    bookkeeping = Bookkeeping(
        *(keys, Audit(0)),  # type: ignore[arg-type]
        take_used=dict,
        take_uses=lambda: minutes.pop(0),
        keep_ms=400,
        keep_uses_ms=300,
        clock_ms=lambda: 1000,
    )
    keys.fails = True
    with pytest.raises(ControlFailed):
        bookkeeping.step()
    keys.fails = False
    for _ in range(2):
        bookkeeping.step()
    assert keys.counted == [([KeyUse("a", 600, "flux", "POST /x", "curl/8", 7, 710), other], 700)]
