"""The list of erased events, on SQLite, on PostgreSQL 18 and in memory: durable, in order, and quick to subtract."""

import threading

import pytest
from sqlalchemy import Engine, text

from headrace.control import erasures
from headrace.control.erasures import ControlErasedEvents
from headrace.model.entries import ErasedEvent
from headrace.ports.control import ControlFailed
from headrace.ports.erasures import ErasedEvents
from tests.fakes import MemoryErasedEvents


@pytest.fixture
def erased(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> ErasedEvents:
    monkeypatch.setattr(erasures, "_AT_ONCE", 3)
    return ControlErasedEvents(engine)


def listed(erased: ErasedEvents, after: int = 0, upto: int = 2**63 - 1) -> list[ErasedEvent]:
    return [each for page in erased.pages(after, upto) for each in page]


def test_nothing_is_listed_at_the_beginning(erased: ErasedEvents):
    assert (listed(erased), erased.count(0, 2**63 - 1), erased.last(5)) == ([], 0, 5)
    erased.add([])
    assert listed(erased) == []


def test_events_are_listed_in_order_with_their_keys_and_counted_between_positions(erased: ErasedEvents):
    first = 1_736_899_200_000 << 20
    events = [ErasedEvent(first + number * 64, 2**54 - 1 - number, bytes([number]) * 16) for number in range(10)]
    erased.add(events[5:])
    erased.add(events[:5])
    assert listed(erased) == events
    for after in range(-1, 10):
        for upto in range(-1, 10):
            bounds = first + after * 64, first + upto * 64
            assert listed(erased, *bounds) == events[after + 1 : upto + 1]
            assert erased.count(*bounds) == len(events[after + 1 : upto + 1])
    assert (erased.last(0), erased.last(events[-1].position)) == (events[-1].position,) * 2
    assert erased.last(2**63 - 1) == 2**63 - 1


def test_an_event_that_is_listed_again_stays_as_it_was(erased: ErasedEvents):
    """A second attempt finds the event gone, and with it what its key was made of."""
    erased.add([ErasedEvent(5, 1, b"k" * 16)])
    erased.add([ErasedEvent(5, 1), ErasedEvent(5, 2)])
    assert listed(erased) == [ErasedEvent(5, 1, b"k" * 16), ErasedEvent(5, 2)]


def test_the_list_is_asked_for_keys_of_which_those_without_a_key_are_none(erased: ControlErasedEvents):
    keys = [bytes([number]) * 16 for number in range(8)]
    erased.add([ErasedEvent(5 + number, 1, key) for number, key in enumerate(keys)] + [ErasedEvent(20, 1)])
    assert erased.with_keys([*keys[2:], b"", b"x" * 16]) == {*keys[2:]}
    assert erased.with_keys([]) == set()


def test_events_at_one_position_are_not_cut_apart_by_a_pages_end(erased: ErasedEvents):
    events = [ErasedEvent(7, tail) for tail in range(8)]
    erased.add(events)
    assert listed(erased) == events


def test_another_process_sees_the_list_and_adds_to_it(engine: Engine, other: Engine):
    ControlErasedEvents(engine).add([ErasedEvent(5, 1, b"k" * 16)])
    ControlErasedEvents(other).add([ErasedEvent(5, 1), ErasedEvent(4, 1)])
    assert listed(ControlErasedEvents(engine)) == [ErasedEvent(4, 1), ErasedEvent(5, 1, b"k" * 16)]


def test_two_that_list_the_same_events_at_once_do_not_fail(engine: Engine, other: Engine):
    events = [ErasedEvent(number, 1) for number in range(1, 500)]
    threads = [
        threading.Thread(target=ControlErasedEvents(each).add, args=(order,))
        for each, order in ((engine, events), (other, events[::-1]))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert listed(ControlErasedEvents(engine)) == events


def test_the_fake_answers_as_control_does(engine: Engine):
    """The tests of the worker rest on it."""
    answers: list[object] = []
    for erased in (ControlErasedEvents(engine), MemoryErasedEvents()):
        erased.add([ErasedEvent(position, tail, b"k") for position in (7, 3, 5) for tail in (2, 1)])
        erased.add([ErasedEvent(3, 1)])
        answers.append((listed(erased), listed(erased, 3, 5), erased.count(3, 7), erased.last(0), erased.last(9)))
        answers.append(erased.with_keys([b"k", b"z", b""]))
    assert answers[:2] == answers[2:]


def test_a_database_that_fails_is_control_failed(engine: Engine):
    erased = ControlErasedEvents(engine)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE erased RENAME TO gone"))
    try:
        for ask in (
            lambda: erased.add([ErasedEvent(1, 1)]),
            lambda: erased.count(0, 1),
            lambda: listed(erased),
            lambda: erased.last(0),
            lambda: erased.with_keys([b"k"]),
        ):
            with pytest.raises(ControlFailed, match="erased"):
                ask()
    finally:  # the next test has the same database
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO erased"))
