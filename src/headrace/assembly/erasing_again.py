"""Erases people again in a restored folder, before it gets its name: those who were erased after its backup was made.

A server without HTTP stores and reacts to what the log still holds, as a start after a crash would, and then carries the
erasures out. It sends no webhook and fires no timer.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from headrace.assembly.clock import clock_ms
from headrace.control.database import open_database
from headrace.control.erasure_notices import ControlErasureNotices
from headrace.model.erasure import MARK_CHARS, Notice, mark_of, mark_space
from headrace.model.errors import SettingsError
from headrace.model.event import Tenant, decode
from headrace.model.settings import Settings

if TYPE_CHECKING:
    from headrace.assembly.runtime import Runtime

_LOOK_EVERY_S = 0.02
_AT_ONCE = 1_000


def erase_people_again(
    settings: Settings, notices: Sequence[Notice], /, *, on_step: Callable[[str], None] = lambda _step: None
) -> int:
    """Carry out, in the settings' folder, the erasures that it does not know; how many there were. on_step: see Runtime.

    They are erased with everything that is kept under any of their ids. Ids that were one person when the backup was made are
    erased together. Raises SettingsError, StoreFailed, ControlFailed.
    """
    control = open_database(settings.data / "control.sqlite")
    try:
        known = ControlErasureNotices(control).known_among({each.erasure for each in notices})
    finally:
        control.dispose()
    later = [each for each in notices if each.erasure not in known]
    if later:
        _carry_out(settings, later, on_step)
    return len(later)


def _carry_out(settings: Settings, notices: Sequence[Notice], on_step: Callable[[str], None]) -> None:
    # Imported here: a runtime makes backups, and so imports this.
    from headrace.assembly.runtime import Runtime  # noqa: PLC0415

    runtime = Runtime(settings, on_step=on_step)
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
            while runtime.control.erasures.open():
                if not runtime.erasures.eraser.step():
                    _rest(runtime)
        finally:
            runtime.pipeline.worker.stop()
            runtime.pipeline.reactor.stop()
    finally:
        runtime.close()


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
