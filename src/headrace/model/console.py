"""Sessions of the console: what they hold, and when they end. Holds no token and no secret. No I/O."""

import msgspec

from headrace.model.event import Mode
from headrace.model.keys import Key

IDLE_MS = 12 * 3_600_000
LONGEST_MS = 7 * 86_400_000


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A visit to the console.

    keys: those that still work, in the order in which they were given. is_operator: opened on the server's own machine, for
    every project and mode; such a session holds no keys. address: where it was opened from.
    """

    id: str
    is_operator: bool
    keys: tuple[Key, ...]
    address: str
    created_at_ms: int
    used_at_ms: int

    @property
    def ends_at_ms(self) -> int:
        """When it ends unless it is used before."""
        return min(self.used_at_ms + IDLE_MS, self.created_at_ms + LONGEST_MS)

    def works_at(self, now_ms: int, /) -> bool:
        """Whether it has not expired, and opens something."""
        return now_ms < self.ends_at_ms and (self.is_operator or bool(self.keys))

    def key_for(self, project: str, mode: Mode | str, /) -> Key | None:
        """The key for a project and mode, the one with the most scopes; for "" the first key."""
        fitting = [
            each
            for each in self.keys
            if (not project or each.tenant.project == project) and (not mode or each.tenant.mode == mode)
        ]
        if not project and not mode:
            return fitting[0] if fitting else None
        return max(fitting, key=lambda each: len(each.scopes), default=None)
