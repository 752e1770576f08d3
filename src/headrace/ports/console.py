"""The console's sessions. Every method raises ControlFailed."""

from collections.abc import Sequence
from typing import Protocol

from headrace.model.console import Session


class Sessions(Protocol):
    """Sessions. A token is kept as its hash alone; of keys, only their ids."""

    def open(self, session: Session, token_hash: str, proof: str, replaces: str, /) -> None:
        """Keep a new session, and end the one with the id `replaces` in the same transaction; "" for none.

        proof: shows whoever has the token that the session holds the key in the server's settings; "" where it does not.
        Forgets sessions that have expired.
        """
        ...

    def find(self, token_hash: str, /) -> tuple[Session, str] | None:
        """The session with this hash and its proof, with those of its keys that are neither revoked nor expired now."""
        ...

    def touch(self, session_id: str, now_ms: int, /) -> None:
        """Note that it was used."""
        ...

    def end(self, session_id: str, /) -> bool:
        """End it for good. Whether there was one."""
        ...

    def listed(self, session_id: str = "", /) -> Sequence[Session]:
        """The sessions that have not expired, the one used last first, and 200 at most; if an id is given, the one with it."""
        ...


class Instance(Protocol):
    """What tells this server from others on the same host, and which projects it has."""

    def server_id(self) -> str:
        """Eight hex digits, for good."""
        ...

    def projects(self) -> Sequence[str]:
        """Every project that has ever had a key, sorted."""
        ...
