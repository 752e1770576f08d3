"""What those who talk to a server may move: events out of it and into it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial

from headrace.model.batch import Item
from headrace.model.entries import Receipt
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant, render_evt
from headrace.model.exports import ExportQuery, Imported
from headrace.pipeline.queries import QuerySlots
from headrace.ports.control import ControlFailed
from headrace.ports.exports import Exports
from headrace.ports.store import StoreFailed
from headrace.upkeep.columns import ArrowFile, ParquetFile
from headrace.upkeep.exporting import Cutter
from headrace.upkeep.importing import Importer


class Export:
    """An export that has begun. left: how many events it has. next: the id of its last event, where more follow; else ""."""

    def __init__(self, slots: QuerySlots, cutter: Cutter, query: ExportQuery, render: Callable[..., bytes]) -> None:
        self.left = cutter.left
        self.next = render_evt(cutter.next.id) if cutter.next else ""
        self._slots = slots
        self._cutter = cutter
        self._render = render
        self._file = {"parquet": ParquetFile, "arrow": ArrowFile}.get(query.format, lambda: None)()
        self._has_begun = self._has_ended = False

    async def piece(self) -> bytes | None:
        """The next piece of the file, which may be empty; None after the last. Raises InvalidRequest, Unavailable."""
        if self._has_ended:
            return None
        return await self._slots.ask(lambda _reader: self._piece(), fresh=False)

    def _piece(self) -> bytes | None:
        if self._file is None:
            head, self._has_begun = not self._has_begun, True
            piece = self._cutter.lines(partial(self._render, head=head))
            self._has_ended = piece is None
            return self._render([], head=True) if piece is None and head else piece
        piece = self._cutter.columns()
        if piece is None:
            self._has_ended = True
            return self._file.end()
        return self._file.add(piece)


class Mover:
    """Exports, and imports. For the event loop's thread."""

    def __init__(self, slots: QuerySlots, exports: Exports, visible: Callable[[], int], importer: Importer) -> None:
        """visible: the position up to which the store has every event."""
        self._slots = slots
        self._exports = exports
        self._visible = visible
        self._importer = importer

    async def export(self, tenant: Tenant, query: ExportQuery, render: Callable[..., bytes], /) -> Export:
        """Begin to export what was acknowledged before now. Raises InvalidRequest, Unavailable.

        render: makes text of events, with `head` whether it is the beginning of the file; for the formats that are text.
        """

        def begin(_reader: object) -> Cutter:
            return Cutter(self._exports, tenant, query.filters, query.after, self._visible(), query.limit)

        return Export(self._slots, await self._slots.ask(begin), query, render)

    async def take(
        self,
        tenant: Tenant,
        items: Sequence[Item],
        ids: Mapping[int, str],
        accept: Callable[[Sequence[Item]], Awaitable[list[Receipt]]],
        /,
    ) -> Imported:
        """See `Importer.take`. Raises Unavailable."""
        try:
            return await self._importer.take(tenant, items, ids, accept)
        except (ControlFailed, StoreFailed) as error:
            raise Unavailable(str(error)) from error
