"""Ids: a UUIDv7 that holds the position; one id, whatever the form it comes in; keys and facts that derive from it."""

from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.event import (
    PARTITION_BITS,
    SEQUENCE_BITS,
    STEP,
    Event,
    event_id,
    fact_id,
    first_position,
    next_position,
    parse_id,
    position_of,
    received_at_ms,
    render_evt,
    render_uuid,
    within_ms,
)
from headrace.model.repeats import dedup_key
from tests.dialects.strategies import examples

positions = st.integers(0, 2**64 - 1)
tails = st.integers(0, 2**54 - 1)


@examples(100)
@given(positions, tails)
def test_an_id_is_a_uuid7_that_holds_its_position_and_time_of_receipt(position: int, tail: int) -> None:
    uuid = UUID(event_id(position, tail))
    assert (uuid.version, uuid.variant) == (7, RFC_4122)
    assert position_of(event_id(position, tail)) == position
    assert uuid.int >> 80 == received_at_ms(position)
    assert uuid.int & (2**54 - 1) == tail


@examples(100)
@given(positions, tails, positions, tails)
def test_ids_sort_as_positions_do(one: int, one_tail: int, other: int, other_tail: int) -> None:
    one_key, other_key = (one, one_tail), (other, other_tail)
    assert (event_id(*one_key) < event_id(*other_key)) == (one_key < other_key)
    assert (event_id(*one_key) == event_id(*other_key)) == (one_key == other_key)


@examples(100)
@given(positions, st.integers())
def test_a_tail_of_any_size_changes_neither_the_position_nor_the_length(position: int, tail: int) -> None:
    assert position_of(event_id(position, tail)) == position
    assert len(event_id(position, tail)) == 32


@examples(100)
@given(positions, tails, st.booleans())
def test_an_id_is_understood_in_every_form_that_a_dialect_shows(position: int, tail: int, upper: bool) -> None:
    digits = event_id(position, tail)
    for form in (digits, render_evt(digits), render_uuid(digits)):
        assert parse_id(form.upper() if upper else form) == digits


@examples(100)
@given(st.uuids())
def test_any_uuid_may_be_asked_for_and_gives_a_position_of_64_bits(uuid: UUID) -> None:
    digits = parse_id(str(uuid))
    assert digits == uuid.hex
    assert 0 <= position_of(digits) < 2**64


@examples(100)
@given(st.one_of(st.text(max_size=40), st.text("0123456789abcdefABCDEF-_evt", max_size=40)))
def test_any_text_is_an_id_or_none(text: str) -> None:
    digits = parse_id(text)
    assert digits is None or UUID(digits).hex == digits


@pytest.mark.parametrize(
    "text",
    [
        *("", "evt_", "evt_abc123", "0" * 31, "0" * 33, "evt_" + "0" * 31, "evt_" + "0" * 33, "evt_evt_" + "0" * 32),
        *("g" * 32, "0" * 32 + "\n", " " + "0" * 32, "０" * 32, "fact_" + "0" * 32, "evt-" + "0" * 32),
        *("00000000-0000-0000-0000-00000000000", "evt_00000000-0000-0000-0000-000000000000", "00000000" * 1000),
        *("{00000000-0000-0000-0000-000000000000}", "000000000000-0000-0000-0000-00000000", "İ" * 32),
    ],
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_id(text) is None


def test_a_position_is_its_millisecond_a_sequence_and_a_partition() -> None:
    assert first_position(1_707_900_600_000) == 1_707_900_600_000 << 20
    assert received_at_ms(first_position(1_707_900_600_000) + 2**20 - 1) == 1_707_900_600_000
    assert SEQUENCE_BITS + PARTITION_BITS == 20, "as many bits as the sequence had before there were partitions"
    assert next_position(0, 1_707_900_600_000, 5) == 1_707_900_600_000 << 20 | 5


@examples(200)
@given(st.integers(0, 2**63), st.integers(0, 2**40), st.integers(0, STEP - 1))
def test_the_next_position_is_the_partitions_least_past_the_last_one_of_whatever_partition_or_age(
    last: int, now_ms: int, partition: int
) -> None:
    position = next_position(last, now_ms, partition)
    assert position > last
    assert position % STEP == partition
    assert received_at_ms(position) >= now_ms
    assert position - STEP < max(last | STEP - 1, first_position(now_ms)) + STEP, "none is left out"
    assert next_position(position, now_ms, partition) == position + STEP


@examples(100)
@given(positions, positions)
def test_what_is_within_a_millisecond_orders_positions_as_they_are_ordered(one: int, other: int) -> None:
    parts = [(received_at_ms(position), within_ms(position)) for position in (one, other)]
    assert (parts[0] < parts[1]) == (one < other)
    assert first_position(parts[0][0]) + parts[0][1] == one


def test_a_fact_id_is_the_same_for_ever_for_one_event_and_one_rule() -> None:
    digits = event_id(1_707_900_600_000 << 20, 0)
    assert fact_id(digits, "default-fact") == "fact_fbe27471c7b1d8eb81821d2eb2050f83"
    assert fact_id(digits, "other") != fact_id(digits, "default-fact")


@examples(50)
@given(
    st.lists(st.tuples(st.text(min_size=1), st.sampled_from(["live", "test"]), st.text("ab", min_size=1)), min_size=2)
)
def test_a_message_id_is_one_only_within_its_project_mode_and_dialect(parts: list[tuple[str, str, str]]) -> None:
    named = [(project.replace("\0", ""), mode, source) for project, mode, source in parts]
    found = {dedup_key(Event(project, mode, source, "n", 0, message_id="m")) for project, mode, source in named}
    assert len(found) == len(set(named))
    assert all(len(key) == 16 for key in found)


def test_an_event_without_a_message_id_has_no_key() -> None:
    assert dedup_key(Event("default", "live", "flux", "n", 0)) == b""


def test_an_event_stored_under_its_index_keeps_its_key() -> None:
    """Until items were named by their bytes they were by their index; those events are known by what is stored of them."""
    of_index = Event("default", "live", "flux", "n", 0, message_id="pf\x1f0")
    beside_its_own = Event("default", "live", "segment", "n", 0, message_id="m", request_id="pf\x1f0")
    assert dedup_key(of_index).hex() == "272b012be69749b9ca8abcd156da9dc4"
    assert dedup_key(beside_its_own).hex() == "9acd0d99f3d5255e3dd6d59eb36d64da"
