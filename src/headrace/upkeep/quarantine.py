"""Lets an operator view, retry or give up entries that were put aside. Decides nothing itself."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from headrace.model.entries import UNREADABLE, ErasedEvent, Record
from headrace.model.errors import NotFound
from headrace.model.event import STEP, Tenant, decode, is_event, parse_id, position_of
from headrace.model.quarantine import Quarantined
from headrace.pipeline.months import of_one_month
from headrace.ports.log import LogReader
from headrace.ports.quarantine import Quarantine
from headrace.ports.store import ErasableStore, StoreRefused

_NO_EVENT = "what is left of it is not an event: export it, correct its payload, and retry it with --file"
_NOT_CHECKED = (
    "the log still cannot give it back as it was written: retry it with --as-is to store what was read, "
    "or with --file to store what you have corrected"
)
_COMMAND = "it is a command, not an event: it can only be dropped"


class ForgettingLog(LogReader, Protocol):
    """A log that can forget the keys of lost entries."""

    def forget(self, after: int, upto: int, /) -> None:
        """Forget the dedup keys with `after` < position <= `upto`. Durable on return. Raises Unavailable."""
        ...


class Retried(msgspec.Struct, frozen=True):
    """stored: ids of the events that are now stored and were reacted to. failed: (id, reason) of those that stay put aside."""

    stored: list[str]
    failed: list[tuple[str, str]]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A request of `headrace quarantine`. corrected: payloads by id."""

    action: Literal["list", "retry", "drop"]
    ids: list[str] = []
    after: int = -1
    limit: int = 1000
    as_is: bool = False
    corrected: dict[str, bytes] = {}


class QuarantineDesk:
    """Also fits the PutAside port, for the worker. Any thread may call that part; the rest is for one thread at a time.

    Raises ControlFailed, StoreFailed, Unavailable, NotFound."""

    def __init__(
        self,
        quarantine: Quarantine,
        log: ForgettingLog,
        store: ErasableStore,
        *,
        in_worker: Callable[[Callable[[], None]], None],
        react: Callable[[Tenant, Sequence[str]], None],
        clock_ms: Callable[[], int],
    ) -> None:
        """in_worker: calls a function in the thread that writes to the store, and waits for it.

        react: runs stored events, given by id, through the reactions of their tenant.
        """
        self._quarantine = quarantine
        self._log = log
        self._store = store
        self._in_worker = in_worker
        self._react = react
        self._clock_ms = clock_ms
        self.count = quarantine.count()  # how many are put aside, cached for frequent readers

    def look_again(self) -> None:
        """Others may have put entries aside."""
        self.count = self._quarantine.count()

    def add(self, entries: Sequence[Quarantined], /) -> int:
        """See the PutAside port."""
        new = self._quarantine.add(entries)
        self.count += new
        return new

    def pages(self, after: int, upto: int, /) -> Iterator[list[ErasedEvent]]:
        """See the PutAside port."""
        return self._quarantine.pages(after, upto)

    def last(self, after: int, /) -> int:
        """See the PutAside port."""
        return self._quarantine.last(after)

    def listed(self, after: int, limit: int, /) -> list[Quarantined]:
        """The entries that are put aside, in log order, after a position."""
        return self._quarantine.listed(after, limit)

    def find(self, ids: Sequence[str], /) -> list[Quarantined]:
        """The entries with some ids. Raises NotFound for an unknown id."""
        asked = {text: parse_id(text) for text in ids}
        known = {each for each in asked.values() if each}
        found = {each.id: each for each in self._quarantine.find([*map(position_of, known)]) if each.id in known}
        if missing := [text for text, event_id in asked.items() if event_id not in found]:
            raise NotFound(
                f"Nothing is put aside under the id {missing[0][:80]!r}: `headrace quarantine list` shows ids."
            )
        return list(found.values())

    def retry(self, ids: Sequence[str], /, *, as_is: bool, corrected: Mapping[str, bytes]) -> Retried:
        """Store events under the ids that they were acknowledged with, and react to them.

        Each is read from the log again, which may succeed now. as_is: if it does not, accept the bytes that were read if they are
        an event. corrected: payloads by id, which take precedence. Repeating it after a crash stores nothing twice.
        """
        records: list[Record] = []
        failed: list[tuple[str, str]] = []
        given = {position_of(parse_id(text) or ""): payload for text, payload in corrected.items() if parse_id(text)}
        for entry in self.find(ids):
            payload, why = self._payload(entry, given.get(entry.position), as_is=as_is)
            if why:
                failed.append((entry.id, why))
            else:
                records.append(Record(entry.position, entry.tail, payload))
        stored: list[Record] = []
        while records:
            some = of_one_month(records)
            records = records[len(some) :]
            stored += self._store_again(some, failed)
        for tenant, event_ids in _by_tenant(stored).items():
            self._react(tenant, event_ids)
        self._quarantine.remove([record.position for record in stored])
        self.count = self._quarantine.count()
        return Retried([record.id for record in stored], failed)

    def _store_again(self, records: list[Record], failed: list[tuple[str, str]]) -> list[Record]:
        """The records that the store accepts; the others are added to `failed`."""
        try:
            self._in_worker(lambda: self._restore(records))
        except StoreRefused as error:
            if len(records) == 1:
                failed.append((records[0].id, f"the store cannot take it: {str(error)[:300]}"))
                return []
            return [record for each in records for record in self._store_again([each], failed)]
        return records

    def drop(self, ids: Sequence[str], /) -> int:
        """Give entries up for good. Returns how many. If a client sends one of them again, it is a new event."""
        found = self.find(ids)
        for after, upto in _stretches([each.position for each in found]):
            self._log.forget(after, upto)
        self._quarantine.drop([each.position for each in found], self._clock_ms())
        self.count = self._quarantine.count()
        return len(found)

    def forget(self, positions: Sequence[int], /) -> None:
        """Take erased events off the list; that of erased events has them."""
        self._quarantine.remove(positions)
        self.count = self._quarantine.count()

    def _payload(self, entry: Quarantined, corrected: bytes | None, *, as_is: bool) -> tuple[bytes, str]:
        """The payload to store, or b"" and the reason why there is none."""
        if entry.kind:
            return b"", _COMMAND
        if corrected is not None:
            return (corrected, "") if is_event(corrected) else (b"", _NO_EVENT)
        for record in self._log.read(entry.position - 1, 1, 1):
            if (record.position, record.tail) == (entry.position, entry.tail) and record.kind != UNREADABLE:
                return record.payload, ""
        if not as_is:
            return b"", _NOT_CHECKED
        return (entry.payload, "") if is_event(entry.payload) else (b"", _NO_EVENT)

    def _restore(self, records: Sequence[Record]) -> None:
        there = self._store.stored([record.id for record in records])
        if missing := [record for record in records if record.id not in there]:
            self._store.insert(missing)


def answer(desk: QuarantineDesk, asked: Asked, /) -> object:
    """Execute a request. Returns the result, to be encoded as JSON. Raises what the desk raises."""
    if asked.action == "list":
        return desk.listed(asked.after, asked.limit)
    if asked.action == "drop":
        return {"dropped": desk.drop(asked.ids)}
    return desk.retry(asked.ids, as_is=asked.as_is, corrected=asked.corrected)


def _by_tenant(records: Sequence[Record]) -> dict[Tenant, list[str]]:
    found: dict[Tenant, list[str]] = {}
    for record in records:
        event = decode(record.payload)
        found.setdefault(Tenant(event.project, event.mode), []).append(record.id)
    return found


def _stretches(positions: Sequence[int]) -> list[tuple[int, int]]:
    """(after, upto) of each run of adjacent entries, so that nothing between two runs is forgotten."""
    runs: list[tuple[int, int]] = []
    for position in positions:
        if runs and position - runs[-1][1] in (1, STEP):
            runs[-1] = (runs[-1][0], position)
        else:
            runs.append((position - 1, position))
    return runs
