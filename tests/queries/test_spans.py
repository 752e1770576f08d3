"""The spans that a count reads, whole slots from a projection and what is left beside them: each moment in one of them."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.store.queries.conditions import NONE_HOT, SLOT_MS, spans_of

SLOT = 2_000_000 * SLOT_MS
near_the_edges_of_slots = st.builds(
    lambda slots, beside: SLOT + slots * SLOT_MS + beside, st.integers(0, 4), st.integers(-2, 2)
)


def spans(from_ms: int | None, to_ms: int | None) -> list[tuple[float, float]]:
    """(first, last millisecond) of each span that may be read from the projection, or beside it."""
    spans = spans_of(Tenant("p", "live"), Filters(from_ms=from_ms, to_ms=to_ms), NONE_HOT)
    read, given = spans.parts, dict[str, Any](spans.params)
    if "first_slot" not in given:  # too short for a whole slot
        assert len(read) == 1
        return [(given.get("from_ms", float("-inf")), given.get("to_ms", float("inf")))]
    found: list[tuple[float, float]] = []
    if "from_upto" in given:
        found.append((given["from_ms"], given["from_upto"]))
    first = given["first_slot"] * SLOT_MS if from_ms is not None else float("-inf")
    found.append((first, given["last_slot"] * SLOT_MS - 1 if "last_slot" in given else float("inf")))
    if "to_from" in given:
        found.append((given["to_from"], given["to_ms"]))
    assert len(read) == 1 + (len(found) > 1)
    return found


@given(st.none() | near_the_edges_of_slots, st.none() | near_the_edges_of_slots)
def test_the_spans_of_a_range_cover_it_from_its_first_to_its_last_moment_and_none_twice(
    from_ms: int | None, to_ms: int | None
) -> None:
    if from_ms is not None and to_ms is not None and to_ms < from_ms:
        from_ms, to_ms = to_ms, from_ms
    found = spans(from_ms, to_ms)
    assert found[0][0] == (float("-inf") if from_ms is None else from_ms)
    assert found[-1][1] == (float("inf") if to_ms is None else to_ms)
    for (_, ends), (begins, _) in pairwise(found):
        assert begins == ends + 1
