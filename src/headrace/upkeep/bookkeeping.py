"""What is kept of keys, of the audit and in backups, once a minute.

When keys were last used, no entry of the audit longer than the setting says, and who was erased since a backup.
"""

from collections.abc import Callable, Mapping

from headrace.ports.audit import Audit
from headrace.ports.keys import TenantKeys

BOOKKEEPING_S = 60.0
_AT_ONCE = 1000  # entries of one transaction


class Bookkeeping:
    """For one thread. What a minute's use of keys has not been written down is lost with the process, and nothing else."""

    def __init__(
        self,
        keys: TenantKeys,
        audit: Audit,
        *,
        take_used: Callable[[], Mapping[str, int]],
        keep_ms: int,
        clock_ms: Callable[[], int],
        tell_backups: Callable[[], None] = lambda: None,
    ) -> None:
        """take_used: when which key was last used, of those used since the last call.

        tell_backups: tells the folders of backups of erasures that they have not been told of.
        """
        self._keys = keys
        self._audit = audit
        self._take_used = take_used
        self._keep_ms = keep_ms
        self._clock_ms = clock_ms
        self._tell_backups = tell_backups
        self._used: dict[str, int] = {}

    def step(self) -> bool:
        """Write down what has changed, and prune; whether there is more to prune. Raises ControlFailed: then call it again."""
        self._used |= self._take_used()
        if self._used:
            self._keys.mark_used(self._used)
            self._used = {}
        self._tell_backups()
        return self._audit.prune(self._clock_ms() - self._keep_ms, _AT_ONCE) == _AT_ONCE
