"""Recovery: where the worker goes on after a start or a failure, and which records the store already has.

Runs in the worker's thread. Stores what is missing; never reacts and never commits.
"""

import structlog

from headrace.model.entries import Record
from headrace.pipeline.months import of_one_month
from headrace.ports.control import Offsets
from headrace.ports.log import Log
from headrace.ports.store import Store

_log = structlog.get_logger("headrace.pipeline.recovery")


class Recovery:
    def __init__(self, log: Log, store: Store, offsets: Offsets, *, most_events: int, most_bytes: int) -> None:
        """`most_events` and `most_bytes` limit what is read and inserted at once."""
        self._log = log
        self._store = store
        self._offsets = offsets
        self._most = (most_events, most_bytes)
        self._repaired = False

    def begin(self) -> tuple[int, int]:
        """The committed position, and the position up to which later events may already be stored.

        The latter is one insert ahead, unless control was restored from an older copy. The first call also repairs the
        store. Raises StoreFailed, ControlFailed, Unavailable.
        """
        position = self._offsets.position()
        if not self._repaired:
            self._repair(position)
            if position and self._store.last(position - 1) < position:
                # Neither the store nor the log has what was committed: a folder that is not mounted, or an older copy of it.
                _log.error("store_is_behind", committed=position, stored_upto=self._store.last(0))
            self._repaired = True
        stored_upto = self._store.last(position)
        if max(self._log.last(), stored_upto) > position:
            _log.info("recovering", position=position, stored_upto=stored_upto, log_ends_at=self._log.last())
        return position, stored_upto

    def missing(self, records: list[Record], /) -> list[Record]:
        """Those that the store does not have. Raises StoreFailed."""
        stored = self._store.present(records[0].position - 1, records[-1].position)
        return [record for record in records if record.id not in stored] if stored else records

    def _repair(self, position: int) -> None:
        """Give back to the store what it has lost of what the log still holds: a disk may lose a young part.

        These events were reacted to before, so this only stores them.
        """
        held = self._log.held(position)
        after = held.after
        lost = held.events - self._store.held(after, position) if held.events else 0
        if not lost:
            return
        # Below zero it is the log that lacks some; what the store lacks beside them is given back all the same.
        event, count = ("store_lost_events", lost) if lost > 0 else ("log_lost_events", -lost)
        _log.warning(event, lost=count, after=after, upto=position)
        while after < position:
            records = [
                record for record in of_one_month(self._log.read(after, *self._most)) if record.position <= position
            ]
            if not records:
                return
            if missing := self.missing(records):
                self._store.insert(missing)
            after = records[-1].position
