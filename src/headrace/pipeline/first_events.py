"""Finds the first event of each repeat, so that a repeat is answered with the stored event and not the resent one. Only reads."""

import asyncio

import msgspec

from headrace.model.batch import Batch, Item
from headrace.model.entries import Receipt
from headrace.model.event import Event, Tenant, decode
from headrace.pipeline.queries import QuerySlots
from headrace.ports.log import LogReader


class FirstEvents:
    """Looks up the first events. For the event loop's thread."""

    def __init__(self, log: LogReader, queries: QuerySlots) -> None:
        self._log = log
        self._queries = queries

    async def in_place_of_repeats(self, batch: Batch, receipts: list[Receipt], /) -> Batch:
        """The batch with the stored event in place of each repeat, for replies that show an event's content.

        A repeat whose first event is no longer stored stays as it was sent. Raises what `QuerySlots.ask` raises.
        """
        if not any(receipt.duplicate for receipt in receipts):
            return batch
        items = [
            Item(item.index, await self._first(item.event, receipt)) if receipt.duplicate else item
            for item, receipt in zip(batch.items, receipts, strict=True)
        ]
        return msgspec.structs.replace(batch, items=items)

    async def _first(self, sent: Event, receipt: Receipt) -> Event:
        """Read the event from the log, which keeps it for a while and answers even if the store fails; else from the store."""
        records = await asyncio.to_thread(self._log.read, receipt.position - 1, 1, 1)
        if records and records[0].position == receipt.position and not records[0].kind:
            return decode(records[0].payload)
        tenant = Tenant(sent.project, sent.mode)
        found = await self._queries.ask(lambda reader: reader.get(tenant, [receipt.id]))
        return found[0] if found else sent
