"""Copies a store's events into a folder of backups as ranges of rows, each in a file, and back. Never looks inside an event.

A range is all events between two positions. Its name has their number and the sum of their hashes, so a later backup sees without
a manifest which ranges are still the same, as nearly all are: events are removed, never changed. So a backup that is cut off has
lost nothing of the ranges that it has finished.
"""

import re
import shutil
import sys
import uuid
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import first_position
from headrace.ports.copies import CopiedRows, Figures
from headrace.ports.store import StoreFailed
from headrace.upkeep.durable import sync_file, sync_folder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FILE = "events.jsonl.zst"
_NAME = re.compile(r"rows-(\d+)-(\d+)-(\d+)-([0-9a-f]{16})-([0-9a-f]{16})")
_MINUTE = first_position(60_000)
_ROWS = 200_000  # a range ends with the minute in which it has so many
_CHUNK_BYTES = 1 << 20
_ATTEMPTS = 5
_MODULUS = 1 << 64


class RowRange(msgspec.Struct, frozen=True):
    """The events with `after` < position <= `upto`."""

    after: int
    upto: int
    figures: Figures


class KeptRange(msgspec.Struct, frozen=True):
    """A range in a folder of backups. folder: below `parts`; the end of its name is a hash of the file. bytes: the file's."""

    folder: str
    bytes: int

    def range(self) -> RowRange:
        """Raises InvalidRequest for a name of another form."""
        found = _NAME.fullmatch(self.folder)
        if found is None:
            raise InvalidRequest(f"{self.folder!r} is not the name of a range of events.")
        return RowRange(int(found[1]), int(found[2]), Figures(int(found[3]), int(found[4], 16)))


def keep_ranges(store: CopiedRows, parts: Path, upto: int, /) -> tuple[list[KeptRange], int]:
    """Have every event up to a position in ranges below `parts`, and copy those that are not there yet.

    The store must have everything that it will ever have up to there. Returns the ranges, in order, and the bytes copied.
    Raises StoreFailed, OSError, and Unavailable while so much is being erased that no copy is of one state.
    """
    kept = {each.range(): each for each in _kept_in(parts)}
    found: list[KeptRange] = []
    copied = 0
    for each in plan(store.minutes(upto), upto, kept):
        if each not in kept:
            new = _copy(store, parts, each)
            copied += 0 if new is None else new.bytes
            found += [] if new is None else [new]
        else:
            found.append(kept[each])
    return found, copied


def plan(minutes: "array[int]", upto: int, kept: Iterable[RowRange], /) -> Iterator[RowRange]:
    """Ranges that have every event up to a position, in order: those that are kept already as far as they still have the same.

    minutes: see CopiedRows. New ranges end where kept ones begin, so that one range with an erased event is one range anew.
    """
    begins = [first_position(minute * (_MINUTE >> 20)) - 1 for minute in minutes[0::3]]
    counts, sums = [0, *accumulate(minutes[1::3])], [0, *accumulate(minutes[2::3])]
    by_start: dict[int, list[RowRange]] = {}
    for each in kept:
        if each.upto == upto or (each.upto < upto and (each.upto + 1) % _MINUTE == 0):  # else it ends within a minute
            by_start.setdefault(each.after, []).append(each)
    starts = sorted(by_start)

    def start_in(low: int, high: int) -> int | None:
        """The last place between two where a kept range begins."""
        index = bisect_right(starts, high) - 1
        return starts[index] if index >= 0 and starts[index] >= low else None

    def between(first: int, end: int) -> Figures:
        """Of some minutes."""
        return Figures(counts[end] - counts[first], (sums[end] - sums[first]) % _MODULUS)

    at = index = 0
    while index < len(begins):
        at = start_in(at, begins[index]) or at  # no event is skipped: the next one is in this minute
        fits = [
            (each, end)
            for each in by_start.get(at, ())
            if (end := len(begins) if each.upto == upto else bisect_left(begins, each.upto)) > index
            and between(index, end) == each.figures
        ]
        if fits:
            each, index = max(fits, key=lambda fit: fit[1])
            at = each.upto
            yield each
            continue
        first, end = index, index + 1
        until = min(begins[index] + _MINUTE, upto)
        while end < len(begins) and counts[end] - counts[first] < _ROWS and start_in(until, begins[end]) is None:
            end, until = end + 1, min(begins[end] + _MINUTE, upto)
        yield RowRange(at, until, between(first, end))
        at, index = until, end


def require_whole(parts: Path, ranges: Sequence[KeptRange], /) -> None:
    """Raises InvalidRequest if a range's file is missing or is not as it was written."""
    for each in ranges:
        path = parts / each.folder / FILE
        each.range()
        digest = blake2b(digest_size=8)
        try:
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except FileNotFoundError:
            raise InvalidRequest(f"{path} is missing.") from None
        if digest.hexdigest() != each.folder[-16:]:
            raise InvalidRequest(f"{path} has changed since it was written: its checksum does not match.")


def add_ranges(store: CopiedRows, parts: Path, ranges: Sequence[KeptRange], /) -> None:
    """Store the events of all ranges in an empty store. Raises StoreFailed, InvalidRequest if it then has others, OSError."""
    for each in ranges:
        try:
            with zstd.open(parts / each.folder / FILE, "rb") as rows:
                store.add_rows(cast("BinaryIO", rows))
        except zstd.ZstdError as error:
            raise InvalidRequest(f"{parts / each.folder / FILE} cannot be read: {error}.") from error
        _require_same(store, each.range())
    _require_all(store, [each.range() for each in ranges])


def move_rows(source: CopiedRows, target: CopiedRows, upto: int, /) -> None:
    """Copy every event up to a position from one store to an empty one. Raises StoreFailed, InvalidRequest if these differ."""
    ranges = list(plan(source.minutes(upto), upto, ()))
    for each in ranges:
        with source.rows(each.after, each.upto) as rows:
            target.add_rows(rows)
        _require_same(target, each)
    _require_all(target, ranges)


def _require_all(store: CopiedRows, ranges: Sequence[RowRange]) -> None:
    """Once more, of all of them: nothing else has been added meanwhile."""
    if ranges:
        figures = Figures(
            sum(each.figures.count for each in ranges), sum(each.figures.sum for each in ranges) % _MODULUS
        )
        _require_same(store, RowRange(0, ranges[-1].upto, figures))


def _require_same(store: CopiedRows, wanted: RowRange) -> None:
    found = store.figures(wanted.after, wanted.upto)
    if found != wanted.figures:
        raise InvalidRequest(
            f"The store has {found.count} events between positions {wanted.after} and {wanted.upto} and not the "
            f"{wanted.figures.count} that were copied: does something else write to it?"
        )


def _kept_in(parts: Path) -> Iterator[KeptRange]:
    for each in parts.glob("rows-*"):
        if _NAME.fullmatch(each.name) and (each / FILE).is_file():
            yield KeptRange(each.name, (each / FILE).stat().st_size)


def _copy(store: CopiedRows, parts: Path, wanted: RowRange) -> KeptRange | None:
    """The range in a folder of its own; None if all of its events were erased meanwhile."""
    figures = wanted.figures
    for _ in range(_ATTEMPTS):
        draft = parts / f".rows.{uuid.uuid4().hex[:6]}"
        draft.mkdir(mode=0o700)
        try:
            count, digest = _write(store, wanted, draft / FILE)
            if count != figures.count:
                figures = store.figures(wanted.after, wanted.upto)  # as they are once somebody was erased
            if not figures.count:
                return None
            if count == figures.count:
                name = f"rows-{wanted.after}-{wanted.upto}-{figures.count}-{figures.sum:016x}-{digest}"
                sync_folder(draft)
                if not (parts / name).exists():
                    draft.rename(parts / name)
                return KeptRange(name, (parts / name / FILE).stat().st_size)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    raise Unavailable(
        "The events that are being copied change all the time: make the backup once nothing is being erased."
    )


def _write(store: CopiedRows, wanted: RowRange, path: Path) -> tuple[int, str]:
    """How many events were written, and the hash of the file. Raises StoreFailed if their end is missing."""
    compressor, digest = zstd.ZstdCompressor(level=3), blake2b(digest_size=8)
    count, end = 0, b"}\n"
    with store.rows(wanted.after, wanted.upto) as rows, path.open("wb") as file:
        while chunk := rows.read(_CHUNK_BYTES):
            count, end = count + chunk.count(b"\n"), (end + chunk[-2:])[-2:]
            packed = compressor.compress(chunk)
            digest.update(packed)
            file.write(packed)
        packed = compressor.flush()
        digest.update(packed)
        file.write(packed)
    if end != b"}\n":  # an error in the middle of an answer is a line in it: the status came first
        raise StoreFailed("The store broke off in the middle of an answer.")
    path.chmod(0o600)
    sync_file(path)
    return count, digest.hexdigest()
