"""Cuts batches at the end of a month by time of receipt, where the store cuts its parts. Pure."""

from datetime import UTC, datetime

from headrace.model.entries import Record
from headrace.model.event import received_at_ms


def of_one_month(records: list[Record], /) -> list[Record]:
    """The leading records that were received in the same month as the first one."""
    if not records or _month(records[0]) == _month(records[-1]):
        return records
    month = _month(records[0])
    return [record for record in records if _month(record) == month]


def _month(record: Record) -> tuple[int, int]:
    moment = datetime.fromtimestamp(received_at_ms(record.position) / 1000, UTC)
    return moment.year, moment.month
