"""The fields that a stored event's dedup key is made of, as a query returns them."""

import msgspec

from headrace.model.entries import Keyed
from headrace.model.event import Event, Mode


class _KeyedRow(msgspec.Struct, array_like=True, gc=False):
    """A row of `queries.upkeep.KEYED`."""

    position: int
    tail: int
    project: str
    mode: Mode
    source: str
    name: str
    user_id: str
    anonymous_id: str
    request_id: str
    message_id: str
    context: str
    labels: dict[str, str]
    numbers: dict[str, float]


_keyed_row_decoder = msgspec.json.Decoder(_KeyedRow, strict=False)


def keyed_in(line: bytes, /) -> Keyed:
    """The event in a line of the format JSONCompactEachRow."""
    row = _keyed_row_decoder.decode(line)
    event = Event(
        *(row.project, row.mode, row.source, row.name, 0),
        user_id=row.user_id,
        anonymous_id=row.anonymous_id,
        request_id=row.request_id,
        message_id=row.message_id,
        context=row.context,
        labels=row.labels,
        numbers=row.numbers,
    )
    return Keyed(row.position, row.tail, event)
