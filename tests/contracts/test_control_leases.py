"""Leases on SQLite and on PostgreSQL 18: one owner at a time, and no commit of a former one."""

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from headrace.control.api_keys import Keys
from headrace.control.database import database_time_ms, reading, writing
from headrace.control.leases import ControlLeases, LastingLease, require
from headrace.control.offsets import ControlOffsets, move
from headrace.control.tables.positions import leases
from headrace.control.tables.projects import projects
from headrace.model.lease import Lease
from headrace.ports.control import LeaseLost, Leases
from tests.contracts.rivals import Rival

NAME = "partition/0"


def expire(engine: Engine, name: str = NAME) -> None:
    """As if its time had passed."""
    with writing(engine) as connection:
        connection.execute(sa.update(leases).where(leases.c.name == name).values(expires_at_ms=1))


def left_ms(engine: Engine) -> int:
    with reading(engine) as connection:
        left = connection.scalar(sa.select(leases.c.expires_at_ms - database_time_ms(connection)))
    assert left is not None
    return left


def take(held: Leases, name: str = NAME, owner: str = "worker") -> Lease:
    lease = held.take(name, owner)
    assert lease is not None
    return lease


def test_a_lease_has_one_owner_until_it_expires(engine: Engine, other: Engine) -> None:
    mine, others = ControlLeases(engine), ControlLeases(other)
    first = take(mine)
    assert others.take(NAME, "worker") is None
    assert take(others, "partition/1").fence == 1, "another name is another lease"
    expire(engine)
    second = take(others)
    assert second.fence > first.fence
    assert mine.take(NAME, "worker") is None


def test_a_lease_lasts_its_length_by_the_databases_clock(engine: Engine) -> None:
    take(ControlLeases(engine, length_s=10))
    assert 0 < left_ms(engine) <= 10_000


def test_two_of_one_process_share_no_lease_and_an_owner_may_take_its_own_again(engine: Engine) -> None:
    held = ControlLeases(engine)
    first = take(held, owner="a")
    assert held.take(NAME, "b") is None
    again = take(held, owner="a")
    assert again.fence > first.fence
    with pytest.raises(LeaseLost), writing(engine) as connection:
        require(connection, first)


def test_a_process_that_starts_again_does_not_adopt_its_predecessors_lease(engine: Engine) -> None:
    take(ControlLeases(engine), owner="worker")
    assert ControlLeases(engine).take(NAME, "worker") is None


def test_who_holds_what_is_listed_until_it_expires_and_swept_a_day_later(engine: Engine, other: Engine) -> None:
    mine, others = ControlLeases(engine), ControlLeases(other)
    take(mine, "member/a")
    take(others, "member/b")
    take(mine, "members")
    assert mine.living("member/") == {"member/a": mine.process, "member/b": others.process}
    expire(engine, "member/b")
    assert others.living("member/") == {"member/a": mine.process}
    mine.sweep("member/")
    with reading(engine) as connection:
        assert set(connection.scalars(sa.select(leases.c.name))) == {"member/a", "members"}


def test_renewing_keeps_a_lease_and_does_not_bring_a_lost_one_back(engine: Engine, other: Engine) -> None:
    mine, others = ControlLeases(engine, length_s=10), ControlLeases(other, length_s=3600)
    take(mine)
    expire(engine)
    mine.renew()
    assert left_ms(engine) > 9_000, "nobody has taken it meanwhile"
    assert others.take(NAME, "worker") is None
    expire(engine)
    lost = take(others)
    mine.renew()
    assert left_ms(engine) > 3_000_000
    with writing(engine) as connection:
        require(connection, lost)


def test_a_released_lease_is_free_at_once_and_its_fence_goes_on(engine: Engine, other: Engine) -> None:
    mine, others = ControlLeases(engine), ControlLeases(other)
    first = take(mine)
    mine.release(first)
    mine.renew()
    second = take(others)
    assert second.fence > first.fence
    mine.release(first)
    assert mine.take(NAME, "worker") is None, "a late release leaves the new owner's alone"


def test_of_two_that_take_a_free_lease_at_once_one_has_it(engine: Engine, other: Engine) -> None:
    mine, others = ControlLeases(engine), ControlLeases(other)
    for number, prepare in enumerate((lambda: None, lambda: expire(engine))):
        prepare()
        with writing(engine) as connection:
            assert mine.take_within(connection, NAME, f"worker {number}") is not None
            rival = Rival(lambda: others.take(NAME, "worker"))
            rival.wait_until_blocked(engine)
        assert rival.result() is None


def test_the_only_process_takes_what_others_have_left_and_never_renews(engine: Engine, other: Engine) -> None:
    take(ControlLeases(other), owner="a")
    alone = ControlLeases(engine, length_s=None)
    take(alone, owner="a")
    assert left_ms(engine) > 10**15
    assert alone.take(NAME, "b") is None, "its own still count"
    expire(engine)
    alone.renew()
    assert left_ms(engine) < 0, "no commit"


def test_a_lost_lease_is_taken_again_once_it_is_free_with_a_new_fence_and_not_before(
    engine: Engine, other: Engine
) -> None:
    mine, others = ControlLeases(engine), ControlLeases(other)
    lasting = LastingLease(mine, "worker", take(mine))
    assert not lasting.take_again(), "it was never lost"
    expire(engine)
    assert not lasting.take_again(), "nobody has taken it"
    first = lasting.current
    theirs = take(others)
    mine.renew()
    with pytest.raises(LeaseLost):
        lasting.take_again()
    with pytest.raises(LeaseLost):
        ControlOffsets(engine, lease=lasting).commit(5)
    others.release(theirs)
    assert lasting.take_again()
    assert lasting.current.fence > theirs.fence > first.fence
    assert not lasting.take_again()
    ControlOffsets(engine, lease=lasting).commit(5)
    with pytest.raises(LeaseLost):
        ControlOffsets(other, lease=theirs).commit(6)
    expire(engine)
    mine.renew()
    assert left_ms(engine) > 0, "it is renewed again"
    lasting.release()
    with pytest.raises(LeaseLost):
        lasting.raise_fence()
    assert left_ms(engine) < 0, "what was released stays free"


# What a former owner commits late


def test_a_former_owners_commit_is_refused_with_all_that_is_in_it(engine: Engine, other: Engine) -> None:
    late = take(ControlLeases(engine))
    expire(engine)
    held = take(ControlLeases(other))
    ControlOffsets(other, lease=held).commit(5)
    with pytest.raises(LeaseLost):
        ControlOffsets(engine, lease=late).commit(9)

    def commit_late() -> None:
        with writing(engine) as connection:
            connection.execute(sa.insert(projects).values(name="an effect", created_at_ms=1))
            move(connection, "worker", 9, late)

    with pytest.raises(LeaseLost):
        commit_late()
    assert ControlOffsets(engine).position() == 5
    with reading(engine) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(projects)) == 0
    ControlOffsets(other, lease=held).commit(6)
    assert ControlOffsets(engine).position() == 6


def test_an_expired_lease_that_nobody_has_taken_still_commits(engine: Engine) -> None:
    lease = take(ControlLeases(engine))
    expire(engine)
    ControlOffsets(engine, lease=lease).commit(5)
    assert ControlOffsets(engine).position() == 5


def test_nobody_takes_a_lease_between_its_check_and_the_commit(engine: Engine, other: Engine) -> None:
    lease = take(ControlLeases(engine))
    expire(engine)
    seen: list[int] = []

    def take_over() -> None:
        take(ControlLeases(other))
        seen.append(ControlOffsets(other).position())

    with writing(engine) as connection:
        move(connection, "worker", 7, lease)
        rival = Rival(take_over)
        rival.wait_until_blocked(engine)
    rival.result()
    assert seen == [7], "who takes over goes on after what was committed"


def test_a_lease_that_was_taken_while_its_check_waits_is_lost(engine: Engine, other: Engine) -> None:
    lease = take(ControlLeases(engine))
    expire(engine)
    others = ControlLeases(other)
    with writing(other) as connection:
        assert others.take_within(connection, NAME, "worker") is not None
        rival = Rival(lambda: ControlOffsets(engine, lease=lease).commit(7))
        rival.wait_until_blocked(other)
    with pytest.raises(LeaseLost):
        rival.result()
    assert ControlOffsets(engine).position() == 0


def test_leases_hold_nothing_else_up(engine: Engine, other: Engine) -> None:
    take(ControlLeases(engine))
    Keys(other).create("p", "live", "flux", None, 1)
    assert take(ControlLeases(other), "retention").fence == 1
