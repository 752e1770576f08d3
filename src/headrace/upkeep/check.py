"""Compares the log, the store and control, and reports where they disagree. Read-only: a start repairs."""

from collections.abc import Callable, Sequence
from itertools import pairwise

import msgspec

from headrace.model.entries import Kind, Record, Unreadable
from headrace.model.errors import Unavailable
from headrace.model.event import decode, position_of
from headrace.pipeline.commands import split
from headrace.pipeline.quarantine import WHAT_TO_DO
from headrace.pipeline.recovery import is_behind, still_stored
from headrace.ports.control import ControlFailed, Offsets
from headrace.ports.erasures import ErasedEvents
from headrace.ports.log import LogReader
from headrace.ports.quarantine import Quarantine
from headrace.ports.store import ErasableStore

_ENTRIES_AT_ONCE, _BYTES_AT_ONCE = 50_000, 16 * 1024 * 1024
_MOST_PROBLEMS = 100


class Report(msgspec.Struct, frozen=True):
    """Counts of the events that the log still has; `problems` is empty if everything agrees.

    stored: events in the store. pending: events not yet in the store, which is normal. erased: events erased on purpose.
    quarantined: events and commands, trimmed ones included, that were put aside because they cannot be read from the log; without
    those that an operator has dropped.
    """

    committed: int
    held: int
    stored: int
    pending: int
    problems: list[str]
    erased: int = 0
    quarantined: int = 0


def check(
    log: LogReader,
    store: ErasableStore,
    offsets: Offsets,
    erased: ErasedEvents,
    quarantine: Quarantine,
    /,
    damage: Sequence[str] = (),
    is_erasing: Callable[[], bool] = lambda: False,
) -> Report:
    """Read all of the store's files, compare the store with every event that the log still has, and both with the committed
    position.

    May run beside a working worker: anything that moves meanwhile is checked again before it counts as a problem.
    damage: what is known to be wrong with the files of the log and of control; reported even if nothing else can be read.
    is_erasing: whether a person is being erased now, so that events on the list of erased ones may still be in the store.
    Raises StoreFailed, ControlFailed, Unavailable.
    """
    try:
        return _compare(log, store, offsets, erased, quarantine, list(damage), is_erasing)
    except (ControlFailed, Unavailable) as error:
        if not damage:
            raise
        return Report(0, 0, 0, 0, [*damage, f"Nothing else could be checked: {error}"])


def _compare(
    log: LogReader,
    store: ErasableStore,
    offsets: Offsets,
    erased: ErasedEvents,
    quarantine: Quarantine,
    problems: list[str],
    is_erasing: Callable[[], bool],
) -> Report:
    committed, last = offsets.position(), log.last()
    if damaged := store.damaged():  # unreadable parts cannot be counted
        return Report(committed, 0, 0, 0, [*problems, *damaged[:_MOST_PROBLEMS]])
    if committed > last:
        problems.append(f"Control has committed position {committed}, but the log ends at {last}.")
    held = stored = pending = gone = 0
    after = 0
    while records := log.read(after, _ENTRIES_AT_ONCE, _BYTES_AT_ONCE):
        problems += _order_problems(records, after)
        before, upto = records[0].position - 1, records[-1].position
        settled = min(upto, offsets.position())  # later events may be stored between one query and the next
        ids = store.present(before, upto)
        once = sum(position_of(each) <= settled for each in ids)
        count = store.held(before, settled) if settled > before else 0
        events, _ = split(records)
        forgotten = {each.id for page in erased.pages(before, upto) for each in page}
        aside = {each.id for page in quarantine.pages(before, upto) for each in page}
        unreadable = [record for record in records if isinstance(record, Unreadable)]
        problems += _unreadable_problems(unreadable, ids, aside, committed)
        absent = [event for event in events if event.id not in ids and event.id not in forgotten]
        lost = [event for event in absent if event.position <= committed and event.id not in aside]
        blank = sum(record.kind == Kind.ERASED for record in records)
        held += len(events) + sum(not each.was for each in unreadable) + blank
        gone += blank + (sum(event.id in forgotten for event in events) if forgotten else 0)
        stored += len(ids)
        pending += sum(event.position > committed for event in absent)
        if lost:
            problems.append(f"{len(lost)} committed events are not in the store, the first at {lost[0].position}.")
        if count > once:
            problems.append(f"{count - once} events are stored more than once up to {settled}.")
        if strangers := ids - {record.id for record in records}:
            problems.append(f"{len(strangers)} stored events have positions from this log but different ids.")
        problems += [problem for record in records if (problem := _payload_problem(record))]
        after = records[-1].position
    if is_behind(log, store, erased, quarantine, committed):
        problems.append(f"Control has committed position {committed}, but the store ends at {store.last(0)}.")
    # An erasure lists events before it removes them. One that ends meanwhile has removed them at the second look.
    was_erasing = is_erasing()
    back = still_stored(store, erased, 0, committed)
    if back and not (was_erasing or is_erasing()) and (back := store.stored(sorted(back))):
        problems.append(f"{len(back)} erased events are still in the store.")
    if put_aside := quarantine.count():
        problems.append(
            f"{put_aside} acknowledged entries are put aside, because they cannot be read as they were written: "
            f"{WHAT_TO_DO}."
        )
    return Report(committed, held, stored, pending, problems[:_MOST_PROBLEMS], gone, put_aside)


def _unreadable_problems(unreadable: list[Unreadable], stored: set[str], aside: set[str], committed: int) -> list[str]:
    """Problems with entries that cannot be read from the log and are neither stored nor put aside, nor wait for the worker."""
    lost = [
        each for each in unreadable if each.position <= committed and each.id not in stored and each.id not in aside
    ]
    if not lost:
        return []
    return [f"{len(lost)} committed entries cannot be read, the first at {lost[0].position}: {lost[0].why}."]


def _order_problems(records: list[Record], after: int) -> list[str]:
    positions = [after, *(record.position for record in records)]
    return [f"Position {later} follows {earlier}." for earlier, later in pairwise(positions) if later <= earlier]


def _payload_problem(record: Record) -> str:
    if position_of(record.id) != record.position:
        return f"The id at position {record.position} holds another position."
    if record.kind:
        return ""
    try:
        decode(record.payload)
    except msgspec.DecodeError as error:
        return f"The entry at position {record.position} cannot be read: {error}."
    return ""
