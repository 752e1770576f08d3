"""Erases events so that no start brings them back and no retry stores them again. Does not decide which.

The log's copy of an event goes when it is trimmed, `log_keep_s` after it was stored; its dedup key, a hash, stays known.
"""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.entries import ErasedEvent, Keyed
from headrace.model.event import position_of, tail_of
from headrace.model.repeats import dedup_key
from headrace.ports.erasures import ErasedEvents
from headrace.ports.store import ErasableStore


class KeyedStore(ErasableStore, Protocol):
    """A store that can return the fields that dedup keys are made of."""

    def keyed_at(self, positions: Sequence[int], /) -> list[Keyed]: ...


def erase(store: KeyedStore, erased: ErasedEvents, ids: Sequence[str], /) -> None:
    """Remove events for good, by id. For the worker's thread, the only one that writes to the store.

    Durable on return. If it raises StoreFailed or ControlFailed, or the process ends before it returns, call it again.
    """
    # 1. Read the keys while the events are there. If a second attempt finds them gone, they are already on the list.
    keys = {each.id: dedup_key(each.event) for each in store.keyed_at(list(map(position_of, ids)))}
    # 2. List the events. A crash before this changes nothing; after it, no start brings removed events back.
    erased.add([ErasedEvent(position_of(each), tail_of(each), keys.get(each, b"")) for each in ids])
    # 3. Remove them from the store.
    store.erase(ids)
