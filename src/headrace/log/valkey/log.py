"""The log on a Valkey server: shared, synced at every call. Knows entries and positions, but no events.

An append is one call of a function that runs inside the server (functions.lua): it finds repeats, gives positions and writes one
chunk, all or nothing. Who appends keeps nothing that the next append needs, so any number of processes may.
"""

import itertools
import os
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from headrace.log.valkey.asking import SharedQuestion
from headrace.log.valkey.chunks import (
    AFTER_ANY,
    Member,
    apart,
    chunk_of,
    emptied,
    heads_of,
    keys_of,
    pack_given,
    pack_position,
    records_of,
    together,
    unpack_given,
    unpack_position,
)
from headrace.log.valkey.reading import ChunkReader
from headrace.log.valkey.server import LogLost, LogServer
from headrace.model.entries import Entry, Held, Receipt, Record
from headrace.model.errors import Unavailable
from headrace.model.event import STEP, first_position

_TRIM_S = 0.3
_CHUNKS_A_TRIM = 32  # each call blocks the server: some 32 MiB to free
_KEYS_AT_ONCE = 1000
_LEARNT_AT_ONCE = 1000
_KEY_BYTES = 64  # of the server's memory, for a dedup key: measured, and rounded up
_REWRITE_EVERY_S, _REWRITE_TIMEOUT_S = 0.05, 60.0
# Of the server's `maxmemory`, so that new events are refused before it is reached.
_LOG_SHARE, _KEYS_SHARE = 0.5, 0.25
_ANY = (1 << 63) - 1


class ValkeyLog:
    """Fits the Log port, for all partitions together. Raises Unavailable wherever the port allows it."""

    def __init__(
        self,
        server: LogServer,
        *,
        instance: str,
        durability: str = "fsync",
        clock_ms: Callable[[], int] | None = None,
        floor: int = 0,
        is_owner: bool = True,
        partition: int = 0,
        partitions: int = 1,
        dedup_window_s: float = 7 * 86_400.0,
        dedup_max_bytes: int = 16 * 1024**3,
        max_bytes: int = 8 * 1024**3,
    ) -> None:
        """Open or create the log. No position at or below `floor` is ever given.

        is_owner: otherwise this process only uses the log that an owner has made, and the next one if its server loses that.
        Raises LogLost if there is none.

        partition: the first. partitions: how many the log was made with, or is made with now; appends take turns with them.
        instance: whose log it is; another's is refused. durability: the least that is accepted, see `LogServer.require_usable`.
        clock_ms: None for the server's own clock, which makes those of the processes that append not matter.
        Raises SettingsError if the server or the log cannot be used, Unavailable.
        """
        self.durability = server.require_usable(durability)
        memory = server.max_memory_bytes()
        self._server = server
        self._reader = ChunkReader(server)
        self._ask_last = SharedQuestion(self.last)
        self._clock_ms = clock_ms
        self._partition, self._partitions = partition, partitions
        self._turns = itertools.count(
            int.from_bytes(os.urandom(1))
        )  # of several that append, not all begin with the same
        self._window_ms = int(dedup_window_s * 1000)
        self.max_bytes = min(max_bytes, int(memory * _LOG_SHARE)) if memory else max_bytes
        key_bytes = min(dedup_max_bytes, int(memory * _KEYS_SHARE)) if memory else dedup_max_bytes
        self._most_keys = max(4, key_bytes // _KEY_BYTES)
        # The greatest position that this process knows of: a new primary that lacks the last ones gives none of them again.
        self._known = floor
        oldest_ms = max(0, (clock_ms() if clock_ms else time.time_ns() // 1_000_000) - self._window_ms)
        self._instance = instance
        self._is_owner = is_owner
        self._lost: tuple[int, int] | None = None
        if not is_owner:
            self.id = self._found()
            return
        given = server.call("open", os.urandom(8).hex(), instance, *apart(floor), oldest_ms, partitions)
        log_id, after, upto = given
        self.id = log_id.decode()
        self._lost = (unpack_position(after), unpack_position(upto)) if after and upto else None

    def _found(self) -> str:
        """The id of the log that an owner has made. Raises LogLost, Unavailable, SettingsError for the log of another server."""
        log_id, instance, made_as, partitions = self._server.state_of("id", "instance", "format", "partitions")
        if log_id is None:
            raise LogLost("No worker has opened the log yet.", retry_after_s=5)
        if made_as != b"1":
            raise self._server.refusal("a newer headrace made the log; run that version")
        if instance.decode() != self._instance:
            raise self._server.refusal(
                "it holds the log of another headrace server; name another database number at the URL's end, such as /1"
            )
        if int(partitions or 1) != self._partitions:
            raise self._server.wrong_partitions(int(partitions or 1))
        return log_id.decode()

    def append(self, entries: Sequence[Entry], /, *, history: bool = False) -> list[Receipt]:
        """See the Log port. One call, one sync."""
        if not entries:
            return []
        count, tail = len(entries), int.from_bytes(os.urandom(6))
        partition = self._partition + next(self._turns) % self._partitions
        try:
            ms, low, *repeats = self._server.call(
                "append",
                *(self.id, self._now(), partition, *apart(self._known), int(history), tail, count),
                *(int(any(entry.kind for entry in entries)), self.max_bytes, self._window_ms, self._most_keys),
                *(heads_of(entries), keys_of(entries), b"".join([entry.payload for entry in entries])),
                lasting=True,
            )
        except LogLost:
            if not self._is_owner:
                self.id = self._found()  # of the log that a worker has begun since, for the next append
            raise
        first = together(ms, low)
        tail |= int(history) << 53
        if not repeats:
            self._known = max(self._known, first + (count - 1) * STEP)
            return list(map(Receipt, range(first, first + count * STEP, STEP), range(tail, tail + count)))
        known = {index: unpack_given(value) for index, value in zip(repeats[::2], repeats[1::2], strict=True)}
        receipts: list[Receipt] = []
        fresh = 0
        for index in range(count):
            if index in known:
                receipts.append(Receipt(*known[index], duplicate=True))
            else:
                receipts.append(Receipt(first + fresh * STEP, tail + fresh))
                fresh += 1
        self._known = max(self._known, *(each.position for each in receipts))
        return receipts

    def read(self, after: int, /, max_entries: int, max_bytes: int) -> list[Record]:
        """See the Log port."""
        return self._reader.read(after, max_entries, max_bytes)

    def last(self) -> int:
        """See the Log port."""
        last = self._server.last_position()
        self._known = max(self._known, last)
        return last

    def bound(self) -> int:
        """Any position: others may append, and to ask would be I/O."""
        return _ANY

    async def tails(self) -> Mapping[int, int]:
        """See the LogTails port. Asks the server, because others may append."""
        return {self._partition: await self._ask_last()}  # one for all: what is visible is told of all together, too

    def held(self, upto: int, /) -> Held:
        """See the Log port."""
        return self._reader.held(upto)

    def trim(self, upto: int, /) -> int:
        """See the Log port. Appends go on between its steps."""
        bound = pack_position(upto) + AFTER_ANY
        gone, until = 0, time.monotonic() + _TRIM_S
        while True:
            step = self._server.call("trim", self.id, self._now(), self._window_ms, bound, _CHUNKS_A_TRIM)
            gone += step
            if not step or time.monotonic() >= until:
                return gone

    def give_back_room(self) -> None:
        """See the Log port. The server frees memory by itself."""

    def size_bytes(self) -> int:
        """See the Log port."""
        return int(self._server.state_of("bytes")[0])

    def knows(self, key: bytes, /) -> int | None:
        """See the KnownKeys port."""

        def look(client: Any) -> tuple[list[bytes | None], list[bytes | None], tuple[int, int]]:
            with client.pipeline(transaction=False) as both:
                both.hmget(self._server.state, [f"newest{ring}" for ring in range(4)])
                for ring in self._server.rings:
                    both.hget(ring, key)
                both.time()
                newest, *values, now = both.execute()
            return newest, values, now

        newest, values, (seconds, microseconds) = self._server.run(look)
        now = self._clock_ms() if self._clock_ms else seconds * 1000 + microseconds // 1000
        given = [unpack_given(value)[0] for value, at in zip(values, newest, strict=True) if value and at]
        latest = max(given, default=-1)
        return latest if latest >= first_position(max(0, now - self._window_ms)) else None

    def dedup_window_s(self) -> float:
        """See the KnownKeys port."""
        forgotten = self._server.state_of("forgotten")[0]
        if forgotten is None:
            return self._window_ms / 1000
        now = self._clock_ms() if self._clock_ms else time.time_ns() // 1_000_000
        return max(0, min(self._window_ms, now - int(forgotten))) / 1000

    def lost_keys(self) -> tuple[int, int] | None:
        """See the LostKeys port: those of events that the store has from another log, or a server that lost them."""
        return self._lost

    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None:
        """See the LostKeys port."""
        items = list(given.items())
        for start in range(0, len(items), _LEARNT_AT_ONCE):
            flat = [each for key, value in items[start : start + _LEARNT_AT_ONCE] for each in (key, pack_given(*value))]
            self._server.call("learn", self.id, self._now(), self._most_keys, 0, *flat)
        if done:
            self._server.call("learn", self.id, self._now(), self._most_keys, 1)
            self._lost = None

    def forget(self, after: int, upto: int, /) -> None:
        """Forget keys with `after` < position <= `upto`: a repeat of such an entry is a new entry. Reads through all keys."""
        for ring in self._server.rings:
            for key, value in self._given(ring, after, upto):
                self._server.call("forget", self.id, key, value, lasting=True)

    def _given(self, ring: str, after: int, upto: int) -> list[tuple[bytes, bytes]]:
        """The keys that were given positions between two, with their values."""

        def look(client: Any) -> list[tuple[bytes, bytes]]:
            pairs: Iterator[tuple[bytes, bytes]] = client.hscan_iter(ring, count=_KEYS_AT_ONCE)
            return [(key, value) for key, value in pairs if after < unpack_given(value)[0] <= upto]

        return self._server.run(look)

    def redact(self, positions: Collection[int], /) -> None:
        """Empty the events at some positions that are still held. Their keys and places stay. Durable on return."""
        ordered, every = sorted(positions), set(positions)
        at = 0
        while at < len(ordered):
            member = self._reader.first_member(ordered[at] - 1)
            if member is None:
                return
            if member.first > ordered[at]:  # trimmed, or never there
                at = bisect_left(ordered, member.first)
                continue
            for _, chunk in self._reader.fetch([member]):
                self._redact(member, chunk, every)
            at = bisect_right(ordered, member.last)

    def _redact(self, member: Member, chunk: bytes, positions: Collection[int]) -> None:
        records = [emptied(each) if each.position in positions else each for each in records_of(member, chunk)]
        if len(records) != member.entries:  # nothing in it can be told apart
            return
        smaller = chunk_of(member.first, records[0].tail, records)
        size = sum(len(each.payload) for each in records)
        now = Member(member.last, member.last_event, member.entries, member.events, size)
        self._server.call("replace", self.id, member.encode(), now.encode(), smaller, lasting=True)

    def overwrite(self) -> None:
        """Leave nothing of what was trimmed or emptied in the server's append-only file: have it written anew."""
        if self.durability == "memory":
            return

        def rewritten(client: Any) -> bool:
            info = client.info("persistence")
            return not info["aof_rewrite_in_progress"] and not info.get("aof_rewrite_scheduled")

        until = time.monotonic() + _REWRITE_TIMEOUT_S

        def wait() -> None:
            while not self._server.run(rewritten):
                if time.monotonic() > until:
                    raise Unavailable("The log's file is still being rewritten.", retry_after_s=5)
                time.sleep(_REWRITE_EVERY_S)

        wait()  # for one that began before
        self._server.run(lambda client: client.bgrewriteaof())
        wait()
        if self._server.run(lambda client: client.info("persistence"))["aof_last_bgrewrite_status"] != "ok":
            raise Unavailable("The log's file could not be rewritten; see Valkey's log.", retry_after_s=5)

    def probe(self) -> None:
        """Write something durably that nobody reads."""
        self._server.run(lambda client: client.hset(self._server.state, "probed_at", time.time_ns() // 1_000_000))

    def close(self) -> None:
        """Close the connections. Everything acknowledged is on the server already."""
        self._server.close()

    def _now(self) -> int | str:
        return self._clock_ms() if self._clock_ms else ""
