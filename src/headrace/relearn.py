"""Known keys again, from the store, when the log has lost its index of them. Runs at a start, before anything is taken.

The store has each event's message id, which is its key unless an `Idempotency-Key` header was: those keys are in no row, and
stay lost. So do those of Amplitude, Mixpanel, CloudEvents and metrics, whose keys have more in them than the message id.
See docs/decisions/0020-lost-keys.md.
"""

import time
from collections.abc import Mapping
from typing import Protocol

import structlog

from headrace.event import dedup_key, first_position
from headrace.ports import MessageId

_log = structlog.get_logger("headrace")
_FIRST_SPAN = first_position(60_000)
_FEW, _MANY = 20_000, 200_000


class Learner(Protocol):
    """A log that may have lost keys."""

    def lost_keys(self) -> tuple[int, int] | None: ...
    def learn(self, given: Mapping[bytes, tuple[int, int]], /, *, done: bool) -> None: ...


class Source(Protocol):
    """A store that knows message ids."""

    def message_ids(self, after: int, upto: int, /) -> list[MessageId]: ...


def relearn(log: Learner, store: Source, /) -> int:
    """Teach the log the keys that it has lost; how many. Raises StoreFailed, Unavailable."""
    lost = log.lost_keys()
    if lost is None:
        return 0
    started = time.monotonic()
    (after, end), span, count = lost, _FIRST_SPAN, 0
    while end > after:
        start = max(after, end - span)
        rows = store.message_ids(start, end)
        log.learn(
            {dedup_key(row.tenant, row.source, row.text): (row.position, row.tail) for row in rows},
            done=False,
        )
        count += len(rows)
        if len(rows) < _FEW:
            span *= 2
        elif len(rows) > _MANY:
            span = max(span // 2, first_position(1))
        end = start
    log.learn({}, done=True)
    took_s = round(time.monotonic() - started, 1)
    without = "keys that came in a header; keys of Amplitude, Mixpanel, CloudEvents and metrics"
    _log.warning("known_keys_relearnt", keys=count, took_s=took_s, without=without)
    return count
