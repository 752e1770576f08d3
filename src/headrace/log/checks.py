"""Checksums of chunks, and what can be saved of a damaged chunk. Pure; opens no file.

The checksum is zlib's CRC-32, which detects every changed byte and every burst of up to 32 bits, at 0.08 µs for 400 bytes.
A chunk has three checksums, of its fields, its keys and its payloads, which are checked on every read. One more for each payload
says which entries are still good if the third does not match.
See docs/decisions/0103-checksums-in-the-log.md.
"""

import struct
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgspec

from headrace.log.chunks import positions_of
from headrace.model.entries import Record, Unreadable

_MAX_COUNT = 1 << 20  # of one append
_FIXED = 12  # bytes of the three checksums of a chunk
_SPOILT = "its bytes were damaged: the checksum does not match"
_NO_EVENT = "it is not what an event is written as"
_decode = msgspec.msgpack.Decoder(list[bytes]).decode


class Chunk(NamedTuple):
    """A row of `chunks` as it is read.

    checks: b"" in a row written before there were checksums; a string in a row that marks lost entries.
    """

    last: int
    entries: int
    tail: int
    payloads: bytes
    spaced: int
    kinds: bytes
    checks: bytes | str

    def positions(self) -> range:
        return positions_of(self.last, self.entries, self.spaced)


def checks_of(
    last: int, count: int, tail: int, kinds: bytes, keys: bytes, payloads: Sequence[bytes], packed: bytes, /
) -> bytes:
    """The checksums of a new chunk, whose entries are STEP apart: 12 bytes, and 4 more per entry if there are several."""
    found = array("I", (_of_fields(last, count, tail, 1, kinds), crc32(keys), crc32(packed)))
    if count > 1:  # else the third checksum says the same
        found.extend(map(crc32, payloads))
    return _little(found).tobytes()


def has_sound_fields(last: int, count: int, tail: int, spaced: int, kinds: bytes, checks: bytes | str, /) -> bool:
    """Whether positions, ids and kinds are as written; True if there is no checksum."""
    if isinstance(checks, str) or not checks:
        return _is_a(int, count) and 0 < count <= _MAX_COUNT
    try:
        return checks[:4] == _one(_of_fields(last, count, tail, spaced, kinds))
    except (TypeError, struct.error):
        return False


def has_sound_keys(keys: bytes, checks: bytes | str, /) -> bool:
    """Whether the keys are as written; True if there is no checksum."""
    return isinstance(checks, str) or not checks or (_is_a(bytes, checks) and checks[4:8] == _one(crc32(keys)))


def payloads_of(chunk: Chunk, is_sound: Callable[[bytes], bool], /) -> list[bytes] | None:
    """A chunk's payloads, or None if any part of the chunk is damaged: see `saved_from`.

    is_sound: called for each event if there is no checksum.
    """
    last, count, tail, packed, spaced, kinds, checks = chunk
    if isinstance(checks, str):
        return None
    if not checks:
        try:
            found = _decode(packed)
        except (msgspec.DecodeError, TypeError):
            return None
        good = len(found) == count and all(map(is_sound, found if not kinds else _events(found, kinds)))
        return found if good else None
    try:
        if checks[:4] != _one(_of_fields(last, count, tail, spaced, kinds)) or checks[8:12] != _one(crc32(packed)):
            return None
    except (TypeError, struct.error):  # no longer a number or a blob
        return None
    return _decode(packed)


def saved_from(chunk: Chunk, keys: bytes, is_sound: Callable[[bytes], bool], /) -> list[Record]:
    """A record for each entry of a chunk that `payloads_of` rejects; damaged entries become Unreadable.

    keys: the chunk's keys, or b"" if they cannot be read. The chunk's fields must be sound. If entries cannot be told from each
    other, all of them are Unreadable.
    """
    _, count, tail, packed, spaced, kinds, checks = chunk
    packed = packed if _is_a(bytes, packed) else b""
    if isinstance(checks, str):  # marks entries lost with a part of the file: see rescue.py
        found, why = _unchecked(packed, count, b"", lambda _: False), checks
    elif not checks:
        found, why = _unchecked(packed, count, kinds, is_sound), _NO_EVENT
    else:
        found, why = _checked(packed, count, checks), _SPOILT
    records: list[Record] = []
    for index, (position, (payload, good)) in enumerate(
        zip(positions_of(chunk.last, count, spaced), found, strict=True)
    ):
        kind = kinds[index] if index < len(kinds) else 0
        if good:
            records.append(Record(position, tail + index, payload, kind))
        else:
            key = keys[index * 16 : index * 16 + 16].strip(b"\0") and keys[index * 16 : index * 16 + 16]
            records.append(Unreadable.at(position, tail + index, payload, why, was=kind, key=key))
    return records


def _is_a(kind: type, value: object) -> bool:
    """Whether a column has the expected type: on a damaged page it may have any."""
    return isinstance(value, kind)


def _of_fields(last: int, count: int, tail: int, spaced: int, kinds: bytes) -> int:
    return crc32(kinds, crc32(struct.pack("<qqqB", last, count, tail, spaced & 0xFF)))


def _one(checksum: int) -> bytes:
    return checksum.to_bytes(4, "little")


def _little(checksums: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        checksums.byteswap()
    return checksums


def _events(payloads: Sequence[bytes], kinds: bytes) -> list[bytes]:
    return [payload for payload, kind in zip(payloads, kinds, strict=False) if not kind]


_Found = list[tuple[bytes, bool]]  # bytes, and whether they are as written


def _unchecked(packed: bytes, count: int, kinds: bytes, is_sound: Callable[[bytes], bool]) -> _Found:
    """For a chunk without checksums: its events, and whatever comes before a broken frame."""
    found: _Found = []
    offset = _array_header(count)
    while len(found) < count and (frame := _frame(packed, offset)):
        payload = packed[frame[0] : frame[1]]
        is_command = len(found) < len(kinds) and kinds[len(found)]
        found.append((payload, bool(is_command) or is_sound(payload)))
        offset = frame[1]
    return _filled(found, packed[offset:], count)


def _checked(packed: bytes, count: int, checks: bytes) -> _Found:
    """Check each entry against its own checksum. A broken frame ends where the next entry is found to begin."""
    if len(checks) != _FIXED + 4 * count:  # the only entry
        frame = _frame(packed, _array_header(count))
        return [(packed[slice(*frame)] if frame else packed, False)]
    sums = _little(array("I", checks[_FIXED:]))
    found: _Found = []
    offset = _array_header(count)
    for index, checksum in enumerate(sums):
        frame = _frame(packed, offset)
        payload = packed[slice(*frame)] if frame else b""
        if frame and crc32(payload) == checksum:
            found.append((payload, True))
            offset = frame[1]
            continue
        if index + 1 == count:
            found.append((packed[offset:] if frame is None else payload, False))
            break
        if frame and (after := _frame(packed, frame[1])) and crc32(packed[slice(*after)]) == sums[index + 1]:
            found.append((payload, False))
            offset = frame[1]
            continue
        start = _begin_of(packed, offset + 1, sums[index + 1])
        if start is None and frame is None:
            return _filled(found, packed[offset:], count)
        found.append((packed[offset:start] if start is not None else payload, False))
        offset = start if start is not None else frame[1] if frame else offset
    return found


def _filled(found: _Found, rest: bytes, count: int) -> _Found:
    """rest: the bytes of the first missing entry, and perhaps of those after it."""
    missing = count - len(found)
    return [*found, *[(rest, False)][:missing], *[(b"", False)] * (missing - 1)]


def _begin_of(packed: bytes, offset: int, checksum: int) -> int | None:
    """The offset of the next frame whose payload has this checksum."""
    for start in range(offset, len(packed)):
        if packed[start] in _HEADERS and (frame := _frame(packed, start)) and crc32(packed[slice(*frame)]) == checksum:
            return start
    return None


# Source: https://github.com/msgpack/msgpack/blob/master/spec.md#bin-format-family
_HEADERS = {0xC4: 1, 0xC5: 2, 0xC6: 4}  # by the first byte of a binary: the number of bytes of its length


def _array_header(count: int) -> int:
    return 1 if count < 16 else 3 if count < 1 << 16 else 5


def _frame(packed: bytes, offset: int) -> tuple[int, int] | None:
    """Where the payload of the binary at an offset begins and ends; None if there is no binary."""
    if offset >= len(packed) or (size := _HEADERS.get(packed[offset])) is None:
        return None
    begin = offset + 1 + size
    end = begin + int.from_bytes(packed[offset + 1 : begin], "big")
    return (begin, end) if end <= len(packed) else None
