"""Remembers the event being reacted to in a file that outlives the process. Knows only the event's id.

The file is written before each event is judged, so it has to be cheap: it is mapped into memory. If the process is killed,
the kernel still has the mapped page, so the next process learns at which event the last one died. (A power cut may lose the
page; it loses no event.)
"""

import mmap
import os
from pathlib import Path
from typing import Protocol

_ID_CHARS = 32


class CurrentEvent(Protocol):
    """The id of the event being reacted to."""

    def enter(self, event_id: str, /) -> None: ...
    def clear(self) -> None: ...
    def left_behind(self) -> str:
        """The event at which the previous process ended, or ""."""
        ...


class CurrentEventFile:
    """Fits CurrentEvent, in a file."""

    def __init__(self, path: Path) -> None:
        """Open or create the file. Raises OSError."""
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.ftruncate(descriptor, _ID_CHARS)
            self._page = mmap.mmap(descriptor, _ID_CHARS)
        finally:
            os.close(descriptor)

    def enter(self, event_id: str, /) -> None:
        """Call before an event is judged, with its id of 32 hex digits."""
        self._page[:] = event_id.encode()

    def clear(self) -> None:
        """Call when no event is being judged any more."""
        self._page[:] = bytes(_ID_CHARS)

    def left_behind(self) -> str:
        """See CurrentEvent."""
        return bytes(self._page[:]).rstrip(b"\0").decode("ascii", "replace")

    def close(self) -> None:
        self._page.close()
