"""Imports events: only those that the server does not have already, however long ago it got them. Parses nothing.

Three things tell a repeat. The log's keys, for as long as it remembers them; beyond that the store, which has every event; and
the list of erased events, by id and by key, so that no old file brings back what was erased. Every imported event has a key, so
of two imports of a file at once the log stores one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from headrace.model.batch import Item
from headrace.model.entries import Receipt
from headrace.model.event import Event, Tenant, parse_id, position_of, tail_of
from headrace.model.exports import Imported, Twins
from headrace.model.repeats import dedup_key
from headrace.ports.erasures import ErasedEvents, ErasedKeys
from headrace.ports.exports import StoredTwins

Accept = Callable[[Sequence[Item]], Awaitable[list[Receipt]]]


class ErasedBefore(ErasedEvents, ErasedKeys, Protocol):
    """The list of erased events, by id and by key."""


class Importer:
    """For the event loop's thread. One request at a time: further ones wait, so that live events never wait for more than one."""

    def __init__(self, store: StoredTwins, erased: ErasedBefore) -> None:
        self._store = store
        self._erased = erased
        self._turn = asyncio.Lock()

    async def take(self, tenant: Tenant, items: Sequence[Item], ids: Mapping[int, str], accept: Accept, /) -> Imported:
        """Make the events durable that are new. Raises Unavailable, ControlFailed; what was stored by then is a repeat next time.

        ids: by an item's index, the id that the event had where it comes from.
        """
        if not items:
            return Imported(0, 0, 0)
        async with self._turn:
            fresh, repeated, erased = await asyncio.to_thread(self._sort, tenant, items, ids)
            receipts = await accept(fresh) if fresh else []
        known = sum(receipt.duplicate for receipt in receipts)
        return Imported(len(fresh) - known, repeated + known, erased)

    def _sort(self, tenant: Tenant, items: Sequence[Item], ids: Mapping[int, str]) -> tuple[list[Item], int, int]:
        """The new events, how many are stored, and how many were erased."""
        had = [{each for each in (ids.get(item.index), _id_in_key(item.event)) if each} for item in items]
        every = list({each for own in had for each in own})
        keys = [dedup_key(item.event) for item in items]
        twins = self._twins(tenant, items, every)
        gone, gone_keys = self._gone(every), self._erased.with_keys(set(keys))
        fresh: list[Item] = []
        repeated = erased = 0
        for item, own, key in zip(items, had, keys, strict=True):
            if not own.isdisjoint(gone) or key in gone_keys:
                erased += 1
            elif not own.isdisjoint(twins.ids) or key in twins.keys:
                repeated += 1
            else:
                fresh.append(item)
        return fresh, repeated, erased

    def _twins(self, tenant: Tenant, items: Sequence[Item], every: Sequence[str]) -> Twins:
        """What the store has of them, events and points of metrics."""
        ids, keys = frozenset[str](), frozenset[bytes]()
        for space in (tenant, tenant.metrics):
            own = [item.event for item in items if item.event.project == space.project]
            if not own:
                continue
            moments = list({(event.name, event.timestamp_ms) for event in own})
            found = self._store.twins(space, moments, every, list({event.message_id for event in own}))
            ids, keys = ids | found.ids, keys | found.keys
        return Twins(ids, keys)

    def _gone(self, ids: Sequence[str]) -> set[str]:
        """Those of the ids that are on the list of erased events."""
        if not ids:
            return set()
        places = {(position_of(each), tail_of(each)): each for each in ids}
        first, last = min(places)[0] - 1, max(places)[0]
        if not self._erased.count(first, last):
            return set()
        return {
            places[each.position, each.tail]
            for page in self._erased.pages(first, last)
            for each in page
            if (each.position, each.tail) in places
        }


def _id_in_key(event: Event) -> str:
    """The id of an event that was imported and exported again: that of its first server, which is now its key. Else ""."""
    return (parse_id(event.message_id) or "") if event.message_id.startswith("evt_") else ""
