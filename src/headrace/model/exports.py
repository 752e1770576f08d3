"""What exports and imports speak of. No I/O."""

from typing import Literal, NamedTuple, get_args

import msgspec

from headrace.model.event import event_id
from headrace.model.filters import Filters

ExportFormat = Literal["jsonl", "csv", "parquet", "arrow"]
EXPORT_FORMATS: tuple[ExportFormat, ...] = get_args(ExportFormat)


Exported = Literal["events", "metrics"]
EXPORTED: tuple[Exported, ...] = get_args(Exported)


class Place(NamedTuple):
    """Where an event is in the order of the log."""

    position: int
    tail: int

    @property
    def id(self) -> str:
        return event_id(self.position, self.tail)


class Mark(NamedTuple):
    """How far a continuous export is: files up to `done` are there, and the next ends at `upto`, if that is decided."""

    done: int = 0
    upto: int | None = None


class ExportQuery(msgspec.Struct, frozen=True):
    """What to export: the matching events, or points of metrics, after a position, at most `limit` of them; all for None."""

    format: ExportFormat
    filters: Filters
    after: int = 0
    limit: int | None = None
    of: Exported = "events"


class Twins(msgspec.Struct, frozen=True):
    """What the store has of the events of an import: ids (32 hex digits each), and dedup keys (16 bytes each)."""

    ids: frozenset[str]
    keys: frozenset[bytes]


class Imported(msgspec.Struct, frozen=True):
    """What became of the valid events of an import."""

    stored: int
    repeated: int
    erased: int
