"""Cuts an export into pieces that fit into memory, whatever the size of the events. Renders nothing.

The order is the log's: it never changes, so where an export stopped another can go on, and what is added comes after it.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from headrace.model.errors import InvalidRequest
from headrace.model.event import StoredEvent, Tenant
from headrace.model.exports import Place
from headrace.model.filters import Filters
from headrace.ports.exports import Exports

Piece = TypeVar("Piece", bytes, Sequence[StoredEvent])
_FIRST_ROWS, _MOST_ROWS = 256, 50_000
_PLACES_AT_ONCE = 100_000  # 10 MB; each look for them passes over everything that is not yet exported
_TARGET_BYTES = 4 * 1024 * 1024
_MOST_GROWTH = 4


class Cutter:
    """One export. For one thread at a time. Raises what `Exports` raises.

    left: how many events it has. last: where the last event is that was read.
    """

    def __init__(
        self, store: Exports, tenant: Tenant, filters: Filters, after: int, upto: int, limit: int | None = None
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._filters = filters
        self._upto = upto
        self._rows = _FIRST_ROWS
        self._has_columns = False
        self.last = Place(after, 0)
        self.next: Place | None = None
        if limit is None:
            self.left = store.left(tenant, filters, after, upto)
            self._places: Sequence[Place] = ()
            return
        places = store.places(tenant, filters, after, upto, limit + 1)
        self._places = places[:limit]
        self.left = len(self._places)
        if len(places) > limit:
            self.next = self._places[-1]
        self._upto = self._places[-1].position if self._places else after

    def lines(self, render: Callable[[Sequence[StoredEvent]], bytes], /) -> bytes | None:
        """The next piece, rendered; None after the last."""

        def read(after: int, upto: int) -> bytes:
            return render(self._store.whole(self._tenant, self._filters, after, upto))

        return self._piece(read)

    def columns(self) -> bytes | None:
        """The next piece as an Arrow stream of its own; None after the last. Of an export without events there is one, empty."""

        def read(after: int, upto: int) -> bytes:
            return self._store.columns(self._tenant, self._filters, after, upto)

        piece = self._piece(read)
        if piece is None and not self._has_columns:
            piece = read(self.last.position, self.last.position)
        self._has_columns = True
        return piece

    def _piece(self, read: Callable[[int, int], bytes]) -> bytes | None:
        if not self._places:
            after = self.last.position
            if after >= self._upto:
                return None
            self._places = self._store.places(self._tenant, self._filters, after, self._upto, _PLACES_AT_ONCE)
            if not self._places:
                return None
        while True:
            cut = self._places[: self._rows]
            try:
                piece = read(self.last.position, cut[-1].position)
                break
            except InvalidRequest:  # the events are too large
                if len(cut) == 1:
                    raise
                self._rows = max(1, len(cut) // 8)
        self._places = self._places[len(cut) :]
        self.last = cut[-1]
        fitting = len(cut) * _TARGET_BYTES // max(1, len(piece))
        self._rows = max(1, min(fitting, self._rows * _MOST_GROWTH, _MOST_ROWS))
        return piece
