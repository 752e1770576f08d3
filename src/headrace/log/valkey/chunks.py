"""What the log keeps in Valkey, as bytes: positions, members of the index, and chunks. No I/O. See functions.lua."""

import struct
import zlib
from collections.abc import Sequence

import msgspec

from headrace.log.key_index import NO_KEY
from headrace.model.entries import Entry, Kind, Record, Unreadable
from headrace.model.event import STEP

_LOW_BITS = 20
_HEAD = struct.Struct(">IBI")  # an entry's bytes, kind and CRC-32
_COUNTS = struct.Struct(">III")
_CHUNK_HEAD_BYTES = 20
_POSITION_BYTES, _TAIL_BYTES = 9, 7
AFTER_ANY = b"\xff" * 32  # behind a position: sorts after every member that begins with it


def apart(position: int, /) -> tuple[int, int]:
    """A position's milliseconds and the bits below them."""
    return position >> _LOW_BITS, position & (1 << _LOW_BITS) - 1


def together(ms: int, low: int, /) -> int:
    return ms << _LOW_BITS | low


def pack_position(position: int, /) -> bytes:
    """Nine bytes that sort like positions."""
    ms, low = apart(max(0, position))
    return ms.to_bytes(6) + low.to_bytes(3)


def unpack_position(packed: bytes, /) -> int:
    return together(int.from_bytes(packed[:6]), int.from_bytes(packed[6:_POSITION_BYTES]))


def pack_given(position: int, tail: int, /) -> bytes:
    """The value of a dedup key: what it was first given."""
    return pack_position(position) + tail.to_bytes(_TAIL_BYTES)


def unpack_given(value: bytes, /) -> tuple[int, int]:
    return unpack_position(value), int.from_bytes(value[_POSITION_BYTES:])


class Member(msgspec.Struct, frozen=True):
    """A chunk's member of the index. last_event: 0 if it has none. size: bytes of its payloads."""

    last: int
    last_event: int
    entries: int
    events: int
    size: int

    @classmethod
    def decode(cls, packed: bytes, /) -> "Member":
        return cls(unpack_position(packed), unpack_position(packed[9:18]), *_COUNTS.unpack(packed[18:]))

    def encode(self) -> bytes:
        return (
            pack_position(self.last)
            + pack_position(self.last_event)
            + _COUNTS.pack(self.entries, self.events, self.size)
        )

    @property
    def first(self) -> int:
        return self.last - (self.entries - 1) * STEP


def heads_of(entries: Sequence[Entry], /) -> bytes:
    pack, crc = _HEAD.pack, zlib.crc32
    return b"".join([pack(len(each.payload), each.kind, crc(each.payload)) for each in entries])


def keys_of(entries: Sequence[Entry], /) -> bytes:
    """16 bytes an entry; none if no entry has a key."""
    keys = [entry.key or NO_KEY for entry in entries]
    return b"".join(keys) if any(entry.key for entry in entries) else b""


def records_of(member: Member, chunk: bytes, /) -> list[Record]:
    """The entries of a chunk. What is not as it was written comes back as Unreadable."""
    count, first = int.from_bytes(chunk[:4]), unpack_position(chunk[4:13])
    tail = int.from_bytes(chunk[13:_CHUNK_HEAD_BYTES])
    at = _CHUNK_HEAD_BYTES + count * _HEAD.size
    heads = list(_HEAD.iter_unpack(chunk[_CHUNK_HEAD_BYTES:at])) if len(chunk) >= at else []
    is_whole = len(heads) == count == member.entries and first == member.first
    if not is_whole or at + sum(size for size, _, _ in heads) != len(chunk):
        return [Unreadable.at(member.last, tail, b"", "its chunk's lengths do not fit", entries=member.entries)]
    records: list[Record] = []
    for index, (size, kind, checksum) in enumerate(heads):
        payload, position = chunk[at : at + size], first + index * STEP
        at += size
        if zlib.crc32(payload) == checksum:
            records.append(Record(position, tail + index, payload, kind))
        else:
            records.append(Unreadable.at(position, tail + index, payload, "its checksum does not fit", was=kind))
    return records


def chunk_of(first: int, tail: int, records: Sequence[Record], /) -> bytes:
    """The chunk with these records. Its own checksums are made for what cannot be read, which thus stays so."""
    heads: list[bytes] = []
    for each in records:
        kind, checksum = each.kind, zlib.crc32(each.payload)
        if isinstance(each, Unreadable):
            kind, checksum = each.was, checksum ^ 1
        heads.append(_HEAD.pack(len(each.payload), kind, checksum))
    head = len(records).to_bytes(4) + pack_position(first) + tail.to_bytes(_TAIL_BYTES)
    return head + b"".join(heads) + b"".join(each.payload for each in records)


def emptied(record: Record, /) -> Record:
    """What is left of an erased event."""
    kind = record.was if isinstance(record, Unreadable) else record.kind
    return Record(record.position, record.tail, b"", Kind.ERASED) if kind == Kind.EVENT else record
