"""Reads the log's chunks on a Valkey server, by plain commands: nothing here blocks the server for long, or changes anything."""

from collections.abc import Iterator, Sequence

from headrace.log.valkey.chunks import AFTER_ANY, Member, pack_position, records_of, unpack_position
from headrace.log.valkey.server import LogServer
from headrace.model.entries import Held, Kind, Record, Unreadable
from headrace.model.event import partition_of

_MEMBERS_AT_ONCE = 1000
_CHUNKS_AT_ONCE = 64


class ChunkReader:
    """Any thread may call it. Raises Unavailable."""

    def __init__(self, server: LogServer, partition: int | None = None) -> None:
        """partition: whose chunks to read; None for those of all."""
        self._server = server
        self._partition = partition

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """See the Log port."""
        records: list[Record] = []
        size = 0
        for member, chunk in self._chunks(after, max_entries, max_bytes):
            for record in records_of(member, chunk):
                if record.position <= after:
                    continue
                size += len(record.payload)
                if records and (len(records) >= max_entries or size > max_bytes):
                    return records
                records.append(record)
        return records

    def held(self, upto: int, /) -> Held:
        """See the Log port."""
        events = last_event = 0
        first: int | None = None
        done = -1
        for page in self._members(-1, upto):
            first = page[0].first if first is None else first
            events += sum(member.events for member in page)
            last_event = max(last_event, *(member.last_event for member in page))
            done = page[-1].last
        following = self.first_member(done)
        if following is not None and following.first <= upto:  # a chunk that goes on after the position
            first = following.first if first is None else first
            for record in [record for each in self.fetch([following]) for record in records_of(*each)]:
                kind = record.was if isinstance(record, Unreadable) else record.kind
                if record.position <= upto and kind in (Kind.EVENT, Kind.ERASED):
                    events, last_event = events + 1, record.position
        if first is not None and last_event:
            return Held(events, first - 1, last_event)
        trimmed, ms = self._server.state_of("trimmed_event", "ms")
        was = unpack_position(trimmed) if trimmed else 0
        if first is not None:
            return Held(0, first - 1, was)
        return Held(0, upto, was or (0 if int(ms) else upto))

    def first_member(self, after: int, /) -> Member | None:
        """That of the chunk with the first entry past a position; None if there is none."""
        if self._partition is not None:
            return next((page[0] for page in self._members(after)), None)
        found = self._index_page(b"(" + pack_position(after) + AFTER_ANY, b"+", 1)
        return Member.decode(found[0]) if found else None

    def fetch(self, members: Sequence[Member], /) -> Iterator[tuple[Member, bytes]]:
        """Some chunks, without those that are trimmed by now."""
        fields = [pack_position(member.last) for member in members]
        found = self._server.run(lambda client: client.hmget(self._server.chunks, fields))
        for member, chunk in zip(members, found, strict=True):
            if chunk is not None:
                yield member, chunk

    def _chunks(self, after: int, max_entries: int, max_bytes: int) -> Iterator[tuple[Member, bytes]]:
        """The chunks with entries after a position, fetched in portions of about as much as is wanted."""
        most = min(max_entries, _MEMBERS_AT_ONCE) if self._partition is None else _MEMBERS_AT_ONCE
        for page in self._members(after, most=most):
            while page:
                size = entries = some = 0
                for member in page[:_CHUNKS_AT_ONCE]:
                    some, size, entries = some + 1, size + member.size, entries + member.entries
                    if size > max_bytes or entries > max_entries:
                        break
                yield from self.fetch(page[:some])
                page = page[some:]  # noqa: PLW2901

    def _members(self, after: int, upto: int | None = None, most: int = _MEMBERS_AT_ONCE) -> Iterator[list[Member]]:
        """The index's members whose last entry is past a position, and at or before another, in order, by pages."""
        low = b"(" + pack_position(after) + AFTER_ANY
        high = b"+" if upto is None else b"[" + pack_position(upto) + AFTER_ANY
        while True:
            found = self._index_page(low, high, most)
            members = list(map(Member.decode, found))
            if self._partition is not None:
                members = [each for each in members if partition_of(each.last) == self._partition]
            if members:
                yield members
            if len(found) < most:
                return
            low = b"(" + found[-1]

    def _index_page(self, low: bytes, high: bytes, most: int) -> list[bytes]:
        index = self._server.index
        return self._server.run(lambda client: client.zrangebylex(index, low, high, start=0, num=most))
