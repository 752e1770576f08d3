"""Relearns the known dedup keys if the log has lost its index of them. Runs at startup, before any event is accepted.

An event's key is computed from the stored event (repeats.py). The keys of events that were erased or put aside are on the
respective list.
See docs/decisions/0020-lost-keys.md.
"""

import time
from typing import Protocol

import structlog

from headrace.model.entries import Keyed
from headrace.model.event import first_position
from headrace.model.repeats import dedup_key
from headrace.ports.erasures import ErasedEvents
from headrace.ports.log import LostKeys
from headrace.ports.quarantine import PutAside

_log = structlog.get_logger("headrace")
_FIRST_SPAN = first_position(60_000)
_MOST = 200_000  # at once, in memory


class Source(Protocol):
    """A store that can return the fields that dedup keys are made of."""

    def keyed(self, after: int, upto: int, /, limit: int) -> list[Keyed]: ...


def relearn(log: LostKeys, store: Source, erased: ErasedEvents, put_aside: PutAside, /) -> int:
    """Teach the log its lost keys, newest first. Returns their number. Raises StoreFailed, ControlFailed, Unavailable."""
    lost = log.lost_keys()
    if lost is None:
        return 0
    started = time.monotonic()
    (after, end), span, count = lost, _FIRST_SPAN, 0
    # Before the others: if a key was given twice, the event that still exists counts.
    for listed in (erased, put_aside):
        for page in listed.pages(after, end):
            given = {each.key: (each.position, each.tail) for each in page if each.key}
            log.learn(given, done=False)
            count += len(given)
    while end > after:
        start = max(after, end - span)
        rows = store.keyed(start, end, limit=_MOST)
        # Newest first, so that for a key given twice the first position remains.
        log.learn({dedup_key(row.event): (row.position, row.tail) for row in rows}, done=False)
        count += len(rows)
        if len(rows) == _MOST:
            end, span = rows[-1].position - 1, max(span // 2, first_position(1))
        else:
            end, span = start, span * 2 if len(rows) < _MOST // 10 else span
    log.learn({}, done=True)
    _log.warning("known_keys_relearnt", keys=count, took_s=round(time.monotonic() - started, 1))
    return count
