"""Remembers what the engine answered, for as long as nothing has changed that an answer could depend on. Runs no SQL.

What is remembered is the result of one SQL query, by its text and its values. People are in the values: the ids of a person, or
the edition of a project's merged ids. So an answer can only change with the rows that it was made of, and every way to change
rows calls `added`, `changed` or `forget` before it returns. See docs/decisions/0154-remembered-answers.md.
"""

import re
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from hashlib import blake2b

import msgspec

from headrace.model.errors import Unavailable
from headrace.model.event import Tenant
from headrace.ports.store import NotRemembered

_SLOT_DIGITS = 6  # of a time in milliseconds, which a slot leaves out: some 17 minutes, and quick to cut off
_SLOT_MS = 10**_SLOT_DIGITS
_MOST_LOOKED_FOR = 4
_EVER = (-(2**63), 2**63)
_LOOK_EVERY_S = 0.05
_OVERHEAD_BYTES = 400  # of an entry, beside its answer
_LARGEST_SHARE = 8  # an answer may take so much of all room, as a divisor
_NAME, _SOURCE = b'{"project":', b',"source":'
# Inside a text its quotes would be escaped, so it is always the field.
_TIME = re.compile(rb',"timestamp_ms":(\d+)')


class Scope(msgspec.Struct, frozen=True):
    """The rows that an answer depends on: of one tenant, with times from the first to the last millisecond; None for no end."""

    tenant: Tenant
    from_ms: int | None = None
    to_ms: int | None = None

    def slots(self) -> tuple[int, int]:
        first, last = _EVER
        return (
            first if self.from_ms is None else self.from_ms // _SLOT_MS,
            last if self.to_ms is None else self.to_ms // _SLOT_MS,
        )


class _Asking:
    """A query that is running. `answer` is set if nothing in its scope changed meanwhile."""

    def __init__(self, slots: tuple[int, int]) -> None:
        self.slots = slots
        self.spoilt = False
        self.answer: bytes | None = None
        self.ended = threading.Event()


class _OfTenant:
    def __init__(self) -> None:
        self.kept: OrderedDict[bytes, tuple[tuple[int, int], bytes]] = (
            OrderedDict()
        )  # the least recently used one first
        self.asking: dict[bytes, _Asking] = {}
        self.size = 0


class Answers:
    """Any thread may call it. `hits`, `misses`: how many queries were answered from memory, and how many were not."""

    def __init__(self, max_bytes: int) -> None:
        self.hits = 0
        self.misses = 0
        self.size = 0
        self._max_bytes = max_bytes
        self._tenants: dict[bytes, _OfTenant] = {}
        self._lock = threading.Lock()

    def of(self, scope: Scope, question: object, ask: Callable[[], bytes], cancelled: Callable[[], bool], /) -> bytes:
        """The answer to a question: one that is remembered, or what `ask` returns. Raises what it raises.

        question: whatever tells it from all others, by its `repr`. cancelled: whether the caller no longer wants the answer;
        while another thread asks the same, Unavailable is then raised.
        """
        mark, key = _mark_of(scope.tenant), _key_of(scope, question)
        while True:
            with self._lock:
                own = self._tenants.get(mark)
                if own is None:
                    own = self._tenants[mark] = _OfTenant()
                kept = own.kept.get(key)
                if kept is not None:
                    own.kept.move_to_end(key)
                    self.hits += 1
                    return kept[1]
                running = own.asking.get(key)
                if running is None:
                    # Known before the query begins, so that no change during it goes unnoticed.
                    mine = own.asking[key] = _Asking(scope.slots())
                    self.misses += 1
                    break
            while not running.ended.wait(_LOOK_EVERY_S):
                if cancelled():
                    raise Unavailable("The query was cancelled.")
            if running.answer is not None:  # nothing has changed since before this call
                self.hits += 1
                return running.answer
        try:
            answer = ask()
        except BaseException:
            self._end(mark, key, mine, None)
            raise
        self._end(mark, key, mine, answer)
        return answer

    def kept(self, scope: Scope, question: object, /) -> bytes:
        """The answer to a question, if it is remembered. Raises NotRemembered."""
        key = _key_of(scope, question)
        with self._lock:
            own = self._tenants.get(_mark_of(scope.tenant))
            found = None if own is None else own.kept.get(key)
            if own is None or found is None:
                raise NotRemembered
            own.kept.move_to_end(key)
            self.hits += 1
            return found[1]

    def added(self, payloads: Iterable[bytes], /) -> None:
        """Events were inserted, or may have been, as `model.event.encode` writes them. Call it before they count as visible."""
        if not self._tenants:  # a query that begins now sees them
            return
        for mark, those in _by_mark(list(payloads)).items():
            times = _TIME.findall(b"".join(those)) if mark else ()
            if len(times) != len(those):  # written by another version of this program
                self.forget()
                return
            self._spoil(mark, sorted({int(each[:-_SLOT_DIGITS] or 0) for each in set(times)}))

    def changed(self, tenant: Tenant, /) -> None:
        """Some of a tenant's events were removed, or may have been."""
        with self._lock:
            for mark in (_mark_of(tenant), _mark_of(tenant.metrics)):
                if (own := self._tenants.get(mark)) is not None:
                    self._drop(mark, own, lambda _slots: True)

    def forget(self) -> None:
        """Anything may have changed."""
        with self._lock:
            for mark, own in list(self._tenants.items()):
                self._drop(mark, own, lambda _slots: True)

    def _spoil(self, mark: bytes, slots: Sequence[int]) -> None:
        def holds(scope: tuple[int, int]) -> bool:
            first, last = scope
            place = bisect_left(slots, first)
            return place < len(slots) and slots[place] <= last

        with self._lock:
            if (own := self._tenants.get(mark)) is not None:
                self._drop(mark, own, holds)

    def _drop(self, mark: bytes, own: _OfTenant, holds: Callable[[tuple[int, int]], bool]) -> None:
        for key in [key for key, (slots, _) in own.kept.items() if holds(slots)]:
            self._remove(own, key)
        for key, running in list(own.asking.items()):
            if holds(running.slots):
                running.spoilt = True
                del own.asking[key]  # whoever asks from now on asks anew
        self._tidy(mark, own)

    def _end(self, mark: bytes, key: bytes, mine: _Asking, answer: bytes | None) -> None:
        with self._lock:
            own = self._tenants.get(mark)
            if not mine.spoilt and own is not None:
                del own.asking[key]
                mine.answer = answer
                if answer is not None and len(answer) + _OVERHEAD_BYTES <= self._max_bytes // _LARGEST_SHARE:
                    own.kept[key] = (mine.slots, answer)
                    own.size += len(answer) + _OVERHEAD_BYTES
                    self.size += len(answer) + _OVERHEAD_BYTES
                    self._make_room()
                self._tidy(mark, own)
        mine.ended.set()

    def _make_room(self) -> None:
        """Forget what nobody has asked for the longest, of the tenant that has the most, so that small ones keep theirs."""
        while self.size > self._max_bytes:
            mark, own = max(self._tenants.items(), key=lambda each: each[1].size)
            self._remove(own, next(iter(own.kept)))
            self._tidy(mark, own)

    def _remove(self, own: _OfTenant, key: bytes) -> None:
        _, answer = own.kept.pop(key)
        own.size -= len(answer) + _OVERHEAD_BYTES
        self.size -= len(answer) + _OVERHEAD_BYTES

    def _tidy(self, mark: bytes, own: _OfTenant) -> None:
        if not own.kept and not own.asking:
            self._tenants.pop(mark, None)


def _key_of(scope: Scope, question: object) -> bytes:
    return blake2b(repr((scope, question)).encode(), digest_size=32).digest()


def _mark_of(tenant: Tenant) -> bytes:
    """How every payload of the tenant begins."""
    return b'%b%b,"mode":"%b"' % (_NAME, msgspec.json.encode(tenant.project), tenant.mode.encode())


def _by_mark(payloads: list[bytes]) -> dict[bytes, list[bytes]]:
    """Payloads by what they begin with; by b"" what begins like no event. Mostly all are of one tenant."""
    found: dict[bytes, list[bytes]] = {}
    left = payloads
    while left and len(found) < _MOST_LOOKED_FOR:
        mark = left[0].partition(_SOURCE)[0]
        if not mark.startswith(_NAME):
            return {b"": payloads}
        found[mark] = [each for each in left if each.startswith(mark)]
        left = [each for each in left if not each.startswith(mark)] if len(found[mark]) < len(left) else []
    for each in left:
        mark = each.partition(_SOURCE)[0]
        found.setdefault(mark if mark.startswith(_NAME) else b"", []).append(each)
    return found
