"""Erases people again in a restored folder, before it gets its name: those who were erased after its backup was made.

A server without HTTP stores and reacts to what the log still holds, as a start after a crash would, and then carries the
erasures out. It sends no webhook and fires no timer. The same leaves nothing in the log that anybody still needs, for a server
that will have its log elsewhere.
"""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from headrace.assembly.clock import clock_ms
from headrace.assembly.control import PARTITION
from headrace.assembly.roles import HeldPartition
from headrace.control.database import open_database
from headrace.control.erasure_notices import ControlErasureNotices
from headrace.control.leases import ControlLeases, LastingLease
from headrace.model.erasure import MARK_CHARS, Notice, mark_of, mark_space
from headrace.model.errors import SettingsError
from headrace.model.event import Tenant, decode
from headrace.model.settings import Settings

if TYPE_CHECKING:
    from headrace.assembly.runtime import Runtime

_LOOK_EVERY_S = 0.02
_AT_ONCE = 1_000


def erase_people_again(
    settings: Settings,
    notices: Sequence[Notice],
    /,
    *,
    leaves_log: bool = True,
    on_step: Callable[[str], None] = lambda _step: None,
) -> int:
    """Carry out, in the settings' folder, the erasures that it does not know; how many there were. on_step: see Runtime.

    leaves_log: otherwise also store and react to everything in the log, so that the folder's server may have another one.
    They are erased with everything that is kept under any of their ids. Ids that were one person when the backup was made are
    erased together. Raises SettingsError, StoreFailed, ControlFailed.
    """
    control = open_database(settings.data / "control.sqlite")
    try:
        known = ControlErasureNotices(control).known_among({each.erasure for each in notices})
    finally:
        control.dispose()
    later = [each for each in notices if each.erasure not in known]
    if later or not leaves_log:
        _carry_out(settings, later, leaves_log, on_step)
    return len(later)


def _carry_out(settings: Settings, notices: Sequence[Notice], leaves_log: bool, on_step: Callable[[str], None]) -> None:
    # Imported here: a runtime makes backups, and so imports this.
    from headrace.assembly.runtime import Runtime  # noqa: PLC0415

    runtime = Runtime(settings, held=_held(settings) if settings.store_url else None, on_step=on_step)
    try:
        last = runtime.log.last()
        runtime.pipeline.worker.start()
        runtime.pipeline.reactor.start()
        try:
            while runtime.pipeline.worker.progress.visible < last:
                _rest(runtime)
            by_mark = _ids_by_mark(runtime, notices)
            for each in notices:
                ids = {by_mark[each.tenant, mark] for mark in each.marks if (each.tenant, mark) in by_mark}
                runtime.control.erasure_notices.adopt(each, sorted(ids), clock_ms())
                on_step("adopted")
            while runtime.control.erasures.open() or not (leaves_log or runtime.done() >= runtime.log.last()):
                if not runtime.erasures.eraser.step():
                    _rest(runtime)
        finally:
            runtime.pipeline.worker.stop()
            runtime.pipeline.reactor.stop()
    finally:
        runtime.close()


def _held(settings: Settings) -> HeldPartition:
    """The partition, in the folder's control: inserts into a store on a server carry its fence."""
    control = open_database(settings.data / "control.sqlite")
    leases, owner = ControlLeases(control, length_s=None), secrets.token_hex(8)
    lease = leases.take(PARTITION, owner)
    assert lease is not None  # noqa: S101  nobody else has the folder
    return HeldPartition(control, leases, LastingLease(leases, owner, lease), is_restoring=True)


def _rest(runtime: "Runtime") -> None:
    if stuck := runtime.pipeline.worker.stuck or runtime.pipeline.reactor.stuck:
        raise SettingsError(f"The backup's events cannot be stored, so erasures cannot be repeated in it: {stuck}")
    time.sleep(_LOOK_EVERY_S)


def _ids_by_mark(runtime: "Runtime", notices: Sequence[Notice]) -> dict[tuple[Tenant, str], str]:
    """The ids that some marks stand for here: of people, participants, events, and entries that were put aside."""
    marks: dict[Tenant, set[str]] = {}
    for each in notices:
        marks.setdefault(each.tenant, set()).update(each.marks)
    found: dict[tuple[Tenant, str], str] = {}
    for tenant, own in marks.items():
        ids = runtime.control.erasure_notices.marked(tenant, own)
        ordered = sorted(own)
        for start in range(0, len(ordered), _AT_ONCE):
            some = ordered[start : start + _AT_ONCE]
            for space in (tenant, tenant.metrics):
                ids |= runtime.store.marked(space, mark_space(tenant), some, MARK_CHARS)
        found |= {(tenant, mark_of(tenant, each)): each for each in ids}
    for tenant, owner in _put_aside(runtime):
        mark = mark_of(tenant, owner)
        if mark in marks.get(tenant, ()):
            found[tenant, mark] = owner
    return found


def _put_aside(runtime: "Runtime") -> Iterator[tuple[Tenant, str]]:
    """The owners of events that were put aside, as far as they can be read."""
    after = -1
    while page := runtime.pipeline.quarantine.listed(after, _AT_ONCE):
        for each in page:
            with suppress(msgspec.DecodeError):
                event = decode(each.payload)
                yield Tenant(event.project.removesuffix("/metrics"), event.mode), event.user_id or event.anonymous_id
        after = page[-1].position
