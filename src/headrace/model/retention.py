"""How long a project keeps its events. No I/O."""

from typing import Annotated

import msgspec
from msgspec import Meta

from headrace.model.errors import InvalidRequest
from headrace.model.event import Mode, Tenant
from headrace.model.quantities import parse_time, render_time

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
MAX_KEEP_MS = 100 * 366 * DAY_MS


class Retention(msgspec.Struct, frozen=True):
    """A project's setting, in one mode. keep_ms: None: for ever. pruned: events that it has removed so far."""

    tenant: Tenant
    keep_ms: int | None
    set_at_ms: int | None = None
    pruned_at_ms: int | None = None
    pruned: int = 0

    def is_due(self, now_ms: int, /) -> bool:
        """Whether it should be applied: at once after it was set, then daily; more often where little is kept."""
        if self.keep_ms is None:
            return False
        if self.pruned_at_ms is None or self.pruned_at_ms < (self.set_at_ms or 0):
            return True
        return now_ms - self.pruned_at_ms >= min(DAY_MS, max(HOUR_MS, self.keep_ms // 24))


class Pruned(msgspec.Struct, frozen=True):
    """What was removed, or would be. held_back: as old, but the log still holds them, or reactions wait: the next time."""

    events: int
    held_back: int
    before_ms: int
    dry_run: bool


class AskedToPrune(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """What `headrace prune` asks for."""

    project: str
    mode: Mode
    older_than_ms: Annotated[int, Meta(ge=HOUR_MS, le=MAX_KEEP_MS)]
    dry_run: bool = False

    @property
    def said(self) -> str:
        """As the audit tells it."""
        return f"older than {render_time(self.older_than_ms / 1000)}"


def parse_age(text: str, least_ms: int, name: str, /) -> int:
    """`90d`, in milliseconds. Raises InvalidRequest."""
    try:
        milliseconds = int(float(parse_time(text)) * 1000)
    except (ValueError, OverflowError):
        raise InvalidRequest(f"{name} must be a time such as 90d; it is {text[:40]!r}.") from None
    if not least_ms <= milliseconds <= MAX_KEEP_MS:
        raise InvalidRequest(
            f"{name} must be from {render_time(least_ms / 1000)} to {render_time(MAX_KEEP_MS / 1000)}; it is {text[:40]!r}."
        )
    return milliseconds
