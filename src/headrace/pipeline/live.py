"""Shows events as they are stored to whoever watches. One thread; the worker hands over what it stored and never waits.

What nobody watches costs one look at a list. For those who watch, each batch is read once, in slices with a pause between them,
because a thread that holds the interpreter for long delays every request. Only rows that somebody receives are rendered.
At most one message waits for each watcher, and later ones are merged into it: rows replaced, counts added. So memory is bounded
and counts stay exact however slowly somebody reads. See docs/decisions/0144-live-by-one-hub.md.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import islice

import structlog

from headrace.model.entries import Record
from headrace.model.event import Event, StoredEvent, Tenant, decode
from headrace.model.filters import Filters
from headrace.model.live import MAX_ROWS, Refusal, Told, add_counts, matches
from headrace.pipeline.loop import Loop

_log = structlog.get_logger("headrace.pipeline.live")
_SLICE = 50
_PAUSE_S = 0.0005
_FLUSH_EVERY_S = 0.3
_MOST_BYTES = 64 * 1024 * 1024
_MAX_REFUSALS = 200
_END_OF_NAME = b'","timestamp_ms":'  # cannot be inside a name, where JSON escapes the quotes

Render = Callable[[StoredEvent], bytes]


class Tail:
    """One watcher's view. `on_news` is called from other threads whenever there is something to take, until it is taken."""

    def __init__(self, tenant: Tenant | None, filters: Filters, on_news: Callable[[], None]) -> None:
        """tenant: None hears only of refusals that belong to no project."""
        self.tenant = tenant
        self.filters = filters
        self.hears_strangers = False
        self.after = 0  # what is at or before this position is not told
        self._on_news = on_news
        self._lock = threading.Lock()
        self._position = 0
        self._rows: deque[bytes] = deque(maxlen=MAX_ROWS)
        self._counts: dict[str, int] = {}
        self._refusals: deque[Refusal] = deque(maxlen=_MAX_REFUSALS)
        self._lost = self._waiting = False

    def add(self, position: int, rows: Iterable[bytes], counts: dict[str, int], /) -> None:
        """Merge what is new into what waits. Any thread may call this."""
        with self._lock:
            self._position = position
            if not counts:
                return
            self._rows.extend(rows)
            add_counts(self._counts, counts)
        self._tell()

    def refuse(self, refusal: Refusal, /) -> None:
        with self._lock:
            self._refusals.append(refusal)
        self._tell()

    def lose(self) -> None:
        """More happened than could be kept."""
        with self._lock:
            self._lost = True
        self._tell()

    def take(self) -> Told:
        """What waits; nothing waits after that."""
        with self._lock:
            told = Told(self._position, list(self._rows), self._counts, list(self._refusals), self._lost)
            self._rows.clear()
            self._counts = {}
            self._refusals.clear()
            self._waiting = False
        return told

    def _tell(self) -> None:
        with self._lock:
            if self._waiting:
                return
            self._waiting = True
        self._on_news()


class LiveHub:
    """Works in its own thread, `loop`. Any thread may call its methods."""

    def __init__(self, *, render: Render, want: Callable[[int], None], last: Callable[[], int]) -> None:
        """render: a row, in one line. want: asks the worker to store soon what the log has up to a position. last: the log's."""
        self._render = render
        self._want = want
        self._last = last
        self._tails: tuple[Tail, ...] = ()
        self._batches: deque[Sequence[Record]] = deque()
        self._bytes = 0
        self._wanted = 0
        self._lock = threading.Lock()
        self.loop = Loop("live", self._step)

    def watch(self, tail: Tail, /) -> None:
        """Tell a tail of what is stored from now on."""
        with self._lock:
            self._tails = (*self._tails, tail)
        self.loop.wake()

    def unwatch(self, tail: Tail, /) -> None:
        with self._lock:
            self._tails = tuple(each for each in self._tails if each is not tail)
            if not self._tails:
                self._batches.clear()
                self._bytes = 0

    def offer(self, records: Sequence[Record], /) -> None:
        """Take over what the worker has stored and made visible, in order. Never waits for whoever watches."""
        if not self._tails or not records:
            return
        size = sum(len(record.payload) for record in records)
        with self._lock:
            lost = self._bytes + size > _MOST_BYTES and bool(self._batches)
            if lost:
                self._batches.clear()
                self._bytes = 0
            else:
                self._batches.append(records)
                self._bytes += size
        if lost:
            _log.warning("live_fell_behind", tails=len(self._tails))
            for tail in self._tails:
                tail.lose()
        self.loop.wake()

    def refused(self, tenant: Tenant | None, refusal: Refusal, /) -> None:
        """Tell of a refusal. tenant: None if it belongs to no project."""
        for tail in self._tails:
            if tail.tenant == tenant or (tenant is None and tail.hears_strangers):
                tail.refuse(refusal)

    def _step(self) -> bool:
        if not self._tails:
            return False
        if not self._batches:
            if (last := self._last()) > self._wanted:
                self._wanted = last
                self._want(last)
            self.loop.wait_for(lambda: bool(self._batches) or self.loop.closing, _FLUSH_EVERY_S)
        with self._lock:
            records = self._batches.popleft() if self._batches else ()
            self._bytes -= sum(len(record.payload) for record in records)
        if records:
            self._tell(records)
        return not self.loop.closing

    def _tell(self, records: Sequence[Record]) -> None:
        """Read a batch once for each different question, and tell whoever asks it."""
        rendered: dict[int, bytes] = {}
        # Whoever came in the middle of a batch is told only of what it does not know.
        groups: dict[tuple[Tenant | None, Filters, int], list[Tail]] = {}
        for tail in self._tails:
            known = tail.after if tail.after >= records[0].position else 0
            groups.setdefault((tail.tenant, tail.filters, known), []).append(tail)
        for (tenant, filters, known), tails in groups.items():
            if tenant is None:
                continue
            fresh = [each for each in records if each.position > known] if known else records
            counts, newest = self._ask(fresh, tenant, filters)
            rows: list[bytes] = []
            for record in newest:
                if record.position not in rendered:
                    rendered[record.position] = self._row(record)
                rows.append(rendered[record.position])
            for tail in tails:
                tail.add(records[-1].position, rows, counts)

    def _ask(
        self, records: Sequence[Record], tenant: Tenant, filters: Filters
    ) -> tuple[dict[str, int], Sequence[Record]]:
        """Exact counts by name of those that match, and the newest of them, oldest first."""
        start = f'{{"project":"{tenant.project}","mode":"{tenant.mode}","source":"'.encode()
        by_name_alone = filters == Filters(name=filters.name, name_prefix=filters.name_prefix)
        counts: dict[str, int] = {}
        newest: deque[Record] = deque(maxlen=MAX_ROWS)
        # More at a time while much waits: the pauses must not be what makes this fall behind.
        size = max(_SLICE, len(records) // 100)
        rest = iter(records)
        while some := list(islice(rest, size)):
            for record in some:
                payload = record.payload
                if not payload.startswith(start):  # a project's name needs no escape in JSON
                    continue
                if by_name_alone:
                    name = _name_in(payload, len(start))
                    matching = (filters.name is None or name == filters.name) and (
                        filters.name_prefix is None or name.startswith(filters.name_prefix)
                    )
                else:
                    event = decode(payload)
                    name, matching = event.name, matches(event, filters)
                if matching:
                    add_counts(counts, {name: 1})
                    newest.append(record)
            self.loop.rest(_PAUSE_S)
        return counts, newest

    def _row(self, record: Record) -> bytes:
        event = decode(record.payload)
        fields = {name: getattr(event, name) for name in Event.__struct_fields__}
        return self._render(StoredEvent(**fields, id=record.id, position=record.position))


def _name_in(payload: bytes, at: int) -> str:
    """The name of an encoded event whose source begins at a place. To read the whole event takes ten times as long."""
    begin = payload.index(b'","name":"', at) + 10
    name = payload[begin : payload.index(_END_OF_NAME, begin)]
    return name.decode() if b"\\" not in name else decode(payload).name
