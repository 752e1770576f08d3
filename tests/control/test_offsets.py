"""The worker's position in the log: durable, and never an earlier one."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from headrace.control.database import open_database
from headrace.control.offsets import ControlOffsets
from headrace.ports.control import ControlFailed, Offsets


def test_the_beginning_is_zero(engine: Engine):
    offsets: Offsets = ControlOffsets(engine)
    assert offsets.position() == 0


def test_a_position_is_there_when_the_database_is_opened_again(database: Path):
    first = open_database(database)
    ControlOffsets(first).commit(1_700_000_000_000 << 20)
    first.dispose()
    second = open_database(database)
    assert ControlOffsets(second).position() == 1_700_000_000_000 << 20
    second.dispose()


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None
)
@given(positions=st.lists(st.integers(0, 2**63 - 1), max_size=8))
def test_the_position_is_always_the_greatest_committed(engine: Engine, positions: list[int]):
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM offsets"))
    offsets = ControlOffsets(engine)
    for count, position in enumerate(positions, 1):
        offsets.commit(position)
        assert offsets.position() == max(positions[:count])


def test_consumers_do_not_move_each_other(engine: Engine):
    worker, other = ControlOffsets(engine), ControlOffsets(engine, "other")
    worker.commit(5)
    other.commit(3)
    assert (worker.position(), other.position()) == (5, 3)


def test_a_database_that_fails_is_control_failed(engine: Engine):
    offsets = ControlOffsets(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE offsets"))
    with pytest.raises(ControlFailed, match="no such table"):
        offsets.position()
    with pytest.raises(ControlFailed, match="no such table"):
        offsets.commit(1)
