"""Short messages between the processes of one server. Nothing is kept: whoever does not listen misses them."""

from typing import Protocol


class Subscription(Protocol):
    """What others publish, for one thread."""

    def next(self, timeout_s: float, /) -> bytes | None:
        """The next message; None if none comes in time. Raises Unavailable, and is of no use after that."""
        ...

    def close(self) -> None: ...


class Channels(Protocol):
    """Any thread may call it. Raises Unavailable."""

    def publish(self, purpose: str, message: bytes, /) -> None:
        """Tell everybody who listens for this purpose now."""
        ...

    def listen(self, purpose: str, /) -> Subscription:
        """What is published for a purpose from now on."""
        ...
