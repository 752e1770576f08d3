"""What a backup needs of the store."""

from pathlib import Path
from typing import Protocol


class FrozenParts(Protocol):
    """The store's files, as they are at one moment. Raises StoreFailed."""

    def freeze(self, name: str, /) -> list[Path]:
        """Links to the files of every part, each part in a folder of its name. name: of letters, digits and underscores."""
        ...

    def frozen(self, name: str, /) -> Path:
        """The folder with all of a name's links."""
        ...


class EmptyStore(Protocol):
    """A store without events that takes the parts of another. Raises StoreFailed."""

    def arriving_parts(self) -> Path:
        """The folder into which a part's folder has to be put."""
        ...

    def attach(self, name: str, /) -> None:
        """Make a part's events the store's."""
        ...
