"""What is kept of keys, of the audit and in backups, once a minute.

When keys were last used and what for, no entry of the audit longer than the setting says, and who was erased since a backup.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import msgspec

from headrace.model.keys import KeyUse
from headrace.ports.audit import Audit
from headrace.ports.keys import TenantKeys

BOOKKEEPING_S = 60.0
_AT_ONCE = 1000  # entries of one transaction
_MOST_UNWRITTEN = 50_000  # uses that control does not take: the rest waits where it is counted


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
        take_uses: Callable[[], Sequence[KeyUse]] = lambda: (),
        keep_uses_ms: int = 0,
        writing_uses: AbstractContextManager[object] | None = None,
        tell_backups: Callable[[], None] = lambda: None,
    ) -> None:
        """take_used: when which key was last used, of those used since the last call.

        take_uses: what keys were used for since the last call; kept for `keep_uses_ms`. writing_uses: held until it is written.
        tell_backups: tells the folders of backups of erasures that they have not been told of.
        """
        self._keys = keys
        self._audit = audit
        self._take_used = take_used
        self._keep_ms = keep_ms
        self._clock_ms = clock_ms
        self._tell_backups = tell_backups
        self._used: dict[str, int] = {}
        self._take_uses = take_uses
        self._keep_uses_ms = keep_uses_ms
        self._writing_uses = writing_uses or nullcontext()
        self._uses: list[KeyUse] = []

    def step(self) -> bool:
        """Write down what has changed, and prune; whether there is more to prune. Raises ControlFailed: then call it again."""
        self._used |= self._take_used()
        if self._used:
            self._keys.mark_used(self._used)
            self._used = {}
        with self._writing_uses:
            if len(self._uses) < _MOST_UNWRITTEN:
                self._uses += self._take_uses()
            if self._uses:
                self._keys.count_uses(added_up(self._uses), self._clock_ms() - self._keep_uses_ms)
                self._uses = []
        self._tell_backups()
        return self._audit.prune(self._clock_ms() - self._keep_ms, _AT_ONCE) == _AT_ONCE


def added_up(uses: Sequence[KeyUse], /) -> list[KeyUse]:
    """One for those that are counted together, as no statement may change a row twice."""
    found: dict[tuple[str, int, str, str, str], KeyUse] = {}
    for each in uses:
        alike = each.key_id, each.from_ms, each.kind, each.route, each.client
        before = found[alike].requests if alike in found else 0
        found[alike] = msgspec.structs.replace(each, requests=before + each.requests)
    return list(found.values())
