"""An export is cut into pieces that hold every event once and in order, however large the events are."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, Tenant, event_id
from headrace.model.exports import Place
from headrace.model.filters import Filters
from headrace.upkeep import exporting as module
from headrace.upkeep.exporting import Cutter

TENANT = Tenant("p", "live")


class Sized:
    """Events of given sizes at the positions 1, 2, …; an answer holds so many bytes at most. `asked`: events of each piece."""

    def __init__(self, sizes: Sequence[int], most_bytes: int = 10**9) -> None:
        self.sizes = dict(enumerate(sizes, 1))
        self.most_bytes = most_bytes
        self.asked: list[int] = []

    def _within(self, after: int, upto: int) -> list[int]:
        return [position for position in self.sizes if after < position <= upto]

    def places(self, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int, /) -> list[Place]:
        return [Place(position, 7) for position in self._within(after, upto)[:limit]]

    def left(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> int:
        return len(self._within(after, upto))

    def whole(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> list[StoredEvent]:
        found = self._within(after, upto)
        if sum(self.sizes[each] for each in found) > self.most_bytes:
            raise InvalidRequest("too large")
        self.asked.append(len(found))
        made = {"project": "p", "mode": "live", "source": "flux", "name": "n", "timestamp_ms": 1}
        return [StoredEvent(**made, id=event_id(each, 7), position=each) for each in found]  # type: ignore[arg-type]

    def columns(self, tenant: Tenant, filters: Filters, after: int, upto: int, /) -> bytes:
        return ",".join(str(each.position) for each in self.whole(tenant, filters, after, upto)).encode()

    def render(self, events: Sequence[StoredEvent]) -> bytes:
        return b"".join(str(each.position).encode().ljust(self.sizes[each.position]) + b"\n" for each in events)


def positions(pieces: bytes) -> list[int]:
    return [int(line) for line in pieces.split()]


def lines_of(cutter: Cutter, store: Sized) -> list[int]:
    whole = b""
    while (piece := cutter.lines(store.render)) is not None:
        assert piece
        whole += piece
    assert cutter.lines(store.render) is None
    return positions(whole)


@given(
    st.lists(st.integers(3, 60), max_size=40),
    st.integers(0, 45),
    st.integers(0, 45),
    st.none() | st.integers(1, 45),
    st.integers(1, 5),
    st.integers(1, 9),
)
def test_each_event_is_in_one_piece_in_order(
    sizes: list[int], after: int, upto: int, limit: int | None, first_rows: int, places: int
) -> None:
    store = Sized(sizes, most_bytes=60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_FIRST_ROWS", first_rows)
        patch.setattr(module, "_PLACES_AT_ONCE", places)
        patch.setattr(module, "_TARGET_BYTES", 80)
        cutter = Cutter(store, TENANT, Filters(), after, upto, limit)
        left = cutter.left
        found = lines_of(cutter, store)
    every = [position for position in range(1, len(sizes) + 1) if after < position <= upto]
    assert found == every[:limit]
    assert left == len(found)
    has_more = limit is not None and len(every) > limit
    assert cutter.next == (Place(found[-1], 7) if has_more else None)
    assert cutter.last == (Place(found[-1], 7) if found else Place(after, 0))


def test_pieces_grow_towards_their_size_and_stay_below_what_an_answer_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_ROWS", 2)
    monkeypatch.setattr(module, "_TARGET_BYTES", 101 * 20)
    store = Sized([100] * 200)
    assert lines_of(Cutter(store, TENANT, Filters(), 0, 200), store) == [*range(1, 201)]
    assert store.asked == [2, 8, *[20] * 9, 10]


def test_an_event_that_no_answer_takes_is_an_error_and_comes_after_all_before_it() -> None:
    store = Sized([10] * 20 + [99], most_bytes=50)
    cutter = Cutter(store, TENANT, Filters(), 0, 21)
    with pytest.raises(InvalidRequest):
        lines_of(cutter, store)
    assert sum(store.asked) == 20
    assert cutter.last == Place(20, 7)


def test_columns_of_no_events_come_once_so_that_a_file_has_its_schema() -> None:
    empty, full = Sized([]), Sized([10, 10])
    for store, wanted in ((empty, [b"", None]), (full, [b"1,2", None])):
        cutter = Cutter(store, TENANT, Filters(), 0, 9)
        assert [cutter.columns(), cutter.columns()] == wanted


def test_what_follows_a_page_begins_after_its_last_event() -> None:
    store = Sized([10] * 5)
    for limit, following in ((3, Place(3, 7)), (4, Place(4, 7)), (5, None), (6, None)):
        cutter = Cutter(store, TENANT, Filters(), 0, 5, limit)
        assert (cutter.next, cutter.left) == (following, min(limit, 5))
