"""Which event this process reacts to, in a file that outlives it. Knows nothing of events but their ids.

Written before each event is judged, and so by memory mapping: a process that is killed leaves the mapped page to the kernel,
which is enough to tell the next process what the last one died of. (A power cut may lose it, and loses no event.)
"""

import mmap
import os
from pathlib import Path
from typing import Protocol

_ID_CHARS = 32


class CurrentEvent(Protocol):
    """The id of the event that is being reacted to."""

    def enter(self, event_id: str, /) -> None: ...
    def clear(self) -> None: ...
    def left_behind(self) -> str:
        """The event at which the process before this one ended, or ""."""
        ...


class CurrentEventFile:
    """Fits CurrentEvent, in a file of its own."""

    def __init__(self, path: Path) -> None:
        """Open or make the file. Raises OSError."""
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            os.ftruncate(descriptor, _ID_CHARS)
            self._page = mmap.mmap(descriptor, _ID_CHARS)
        finally:
            os.close(descriptor)

    def enter(self, event_id: str, /) -> None:
        """Before an event is judged: 32 hex digits."""
        self._page[:] = event_id.encode()

    def clear(self) -> None:
        """No event is being judged."""
        self._page[:] = bytes(_ID_CHARS)

    def left_behind(self) -> str:
        """See CurrentEvent."""
        return bytes(self._page[:]).rstrip(b"\0").decode("ascii", "replace")

    def close(self) -> None:
        self._page.close()
