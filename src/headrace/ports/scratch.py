"""Values by name that live as long as one piece of work, in bounded memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, Protocol

ScratchTable = Literal["states", "changes"]


class Scratch(Protocol):
    """Holds any number of values outside memory; they are gone once it is closed, or the process ends. For one thread.

    Everything raises ControlFailed.
    """

    def get(self, table: ScratchTable, names: Sequence[str], /) -> dict[str, bytes]:
        """The values of those of the names that have one."""
        ...

    def put(self, table: ScratchTable, values: Mapping[str, bytes], /) -> None:
        """Set values, in place of earlier ones."""
        ...

    def take(self, table: ScratchTable, names: Sequence[str], /) -> dict[str, bytes]:
        """Like `get`, and remove them."""
        ...

    def items(self, table: ScratchTable, /) -> Iterator[tuple[str, bytes]]:
        """Every name with its value, by name."""
        ...

    def close(self) -> None: ...
