"""Puts unreadable records of the log aside, so that they do not block later ones."""

from collections.abc import Sequence

import structlog

from headrace.model.entries import Record, Unreadable
from headrace.model.quarantine import Quarantined
from headrace.ports.quarantine import PutAside

_log = structlog.get_logger("headrace.pipeline.quarantine")
WHAT_TO_DO = "`headrace quarantine list` shows them; then export, retry or drop them"


def put_aside(records: Sequence[Record], put_aside: PutAside, now_ms: int, /) -> list[Record]:
    """Durably list the records that cannot be read. Returns the others. Raises ControlFailed."""
    unreadable = [record for record in records if isinstance(record, Unreadable)]
    if not unreadable:
        return list(records)
    new = put_aside.add([_quarantined(each, now_ms) for each in unreadable])
    if new:
        first, last = unreadable[0], unreadable[-1]
        _log.error(
            "entries_put_aside",
            entries=new,
            first=first.id,
            last=last.id,
            why=first.why,
            what_to_do=WHAT_TO_DO,
        )
    return [record for record in records if not isinstance(record, Unreadable)]


def _quarantined(entry: Unreadable, now_ms: int) -> Quarantined:
    return Quarantined(entry.position, entry.tail, entry.was, entry.why, entry.payload, entry.key, now_ms)
