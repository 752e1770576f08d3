"""Events as ranges of rows in a folder of backups: what is copied again, and what is noticed."""

import io
import random
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.model.errors import InvalidRequest
from headrace.model.event import first_position
from headrace.ports.copies import Figures
from headrace.ports.store import StoreFailed
from headrace.upkeep import row_ranges
from headrace.upkeep.row_ranges import FILE, RowRange, add_ranges, keep_ranges, move_rows, plan, require_whole

MINUTE = first_position(60_000)


class Rows:
    """A store of positions: each event is the line `{"position": …}`, and its hash its position times a prime."""

    def __init__(self, *positions: int) -> None:
        self.positions = set(positions)
        self.read = 0
        self.cut = False

    def minutes(self, upto: int, /) -> "array[int]":
        found: dict[int, tuple[int, int]] = {}
        for each in sorted(self.positions):
            if each <= upto:
                count, total = found.get(each // MINUTE, (0, 0))
                found[each // MINUTE] = count + 1, (total + hash_of(each)) % 2**64
        return array("Q", [number for minute, figures in found.items() for number in (minute, *figures)])

    def figures(self, after: int, upto: int, /) -> Figures:
        hashes = [hash_of(each) for each in self.positions if after < each <= upto]
        return Figures(len(hashes), sum(hashes) % 2**64)

    @contextmanager
    def rows(self, after: int, upto: int, /) -> Iterator[BinaryIO]:
        lines = b"".join(b'{"position": %d}\n' % each for each in self.positions if after < each <= upto)
        self.read += lines.count(b"\n")
        yield io.BytesIO(lines[:-5] + b"Code: 241. DB::Exception\n" if self.cut else lines)

    def add_rows(self, rows: BinaryIO, /) -> None:
        self.positions |= {int(line.split()[1].rstrip(b"}")) for line in rows.read().splitlines()}


def hash_of(position: int) -> int:
    return position * 0x9E3779B97F4A7C15 % 2**64


MOMENTS = st.integers(0, 30).flatmap(lambda minute: st.integers(minute * MINUTE + 1, minute * MINUTE + 50))


@settings(max_examples=150, deadline=None)
@given(
    st.sets(MOMENTS, max_size=60),
    st.lists(st.tuples(st.sets(MOMENTS, max_size=8), st.sets(MOMENTS, max_size=2), MOMENTS), max_size=4),
    st.integers(1, 12),
)
def test_ranges_have_every_event_once_whatever_was_added_and_erased_since_the_last_backup(
    first: set[int], rounds: list[tuple[set[int], set[int], int]], rows: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_ranges, "_ROWS", rows)
        store, kept = Rows(*first), set[RowRange]()
        for added, erased, upto in [(set[int](), set[int](), 31 * MINUTE), *rounds]:
            store.positions = store.positions - erased | added
            found = list(plan(store.minutes(upto), upto, kept))
            ends = [(each.after, each.upto) for each in found]
            assert ends == sorted(ends)
            assert all(upto <= after for (_, upto), (after, _) in pairwise(ends))
            for each in found:
                assert each.figures == store.figures(each.after, each.upto)
            held = [each for each in store.positions if any(after < each <= end for after, end in ends)]
            assert sorted(held) == sorted(each for each in store.positions if 0 < each <= upto)
            kept |= set(found)


def test_a_second_backup_reads_what_is_new_and_ranges_with_an_erased_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_ranges, "_ROWS", 50)
    positions = [minute * MINUTE + n for minute in range(1, 101) for n in range(10)]
    store = Rows(*positions)
    first, copied = keep_ranges(store, tmp_path, 101 * MINUTE)
    assert store.read == 1000
    assert copied == sum(each.bytes for each in first)
    again, copied = keep_ranges(store, tmp_path, 101 * MINUTE)
    assert (again, copied, store.read) == (first, 0, 1000)
    store.positions -= {positions[333]}
    store.positions |= {102 * MINUTE}
    third, _ = keep_ranges(store, tmp_path, 103 * MINUTE)
    assert store.read - 1000 == 49 + 1
    assert len(set(first) & set(third)) == len(first) - 1
    require_whole(tmp_path, third)
    restored = Rows()
    add_ranges(restored, tmp_path, third)
    assert restored.positions == store.positions
    moved = Rows()
    move_rows(store, moved, 103 * MINUTE)
    assert moved.positions == store.positions


def test_an_event_that_arrives_late_in_a_range_that_is_filled_already_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_ranges, "_ROWS", 1)

    class Late(Rows):
        def add_rows(self, rows: BinaryIO, /) -> None:
            super().add_rows(rows)
            self.positions |= {MINUTE + 2} if 2 * MINUTE + 1 in self.positions else set()

    store = Rows(MINUTE + 1, 2 * MINUTE + 1)
    ranges, _ = keep_ranges(store, tmp_path, 3 * MINUTE)
    assert len(ranges) == 2
    for fill in (lambda: add_ranges(Late(), tmp_path, ranges), lambda: move_rows(store, Late(), 3 * MINUTE)):
        with pytest.raises(InvalidRequest, match="does something else write to it"):
            fill()


def test_what_was_cut_off_or_has_changed_is_no_range(tmp_path: Path) -> None:
    store = Rows(*random.Random(1).sample(range(1, 10_000), 500))
    store.cut = True
    with pytest.raises(StoreFailed, match="broke off"):
        keep_ranges(store, tmp_path, MINUTE)
    assert list(tmp_path.iterdir()) == []
    store.cut = False
    ranges, _ = keep_ranges(store, tmp_path, MINUTE)
    [path] = tmp_path.glob(f"*/{FILE}")
    other = Rows(next(each for each in range(1, 10_000) if each not in store.positions))
    with pytest.raises(InvalidRequest, match="does something else write to it"):
        add_ranges(other, tmp_path, ranges)
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(InvalidRequest, match="its checksum does not match"):
        require_whole(tmp_path, ranges)
    path.unlink()
    with pytest.raises(InvalidRequest, match="is missing"):
        require_whole(tmp_path, ranges)
