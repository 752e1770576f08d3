"""Moves every event from one store into another, day by day, so that a run that was killed is gone on with. Compares both.

Ids and positions stay. A day is moved once both stores tell the same of it, whatever an earlier run has left there.
See docs/decisions/0173-moving-a-folder-to-servers.md.
"""

from collections.abc import Callable

from headrace.model.errors import SettingsError
from headrace.model.moving import Day
from headrace.ports.moving import MoveSource, MoveTarget

OnStep = Callable[[str], None]
OnProgress = Callable[[int, int], None]


def move_events(source: MoveSource, target: MoveTarget, show: OnProgress, on_step: OnStep, /) -> int:
    """Move all events that the target lacks; how many the source has. show: told how many are done, and how many there are.

    Raises SettingsError if the two do not agree in the end, StoreFailed.
    """
    days, columns, done = source.days(), target.columns(), 0
    total = sum(day.events for day in days)
    for day in days:
        _move_day(source, target, day, columns, lambda moved, done=done: show(done + moved, total), on_step)
        done += day.events
        show(done, total)
    theirs = {(day.name, day.events) for day in target.days()}
    if wrong := sorted(theirs.symmetric_difference((day.name, day.events) for day in days)):
        raise _differs(wrong[0][0])
    return total


def _move_day(
    source: MoveSource,
    target: MoveTarget,
    day: Day,
    columns: list[str],
    show: Callable[[int], None],
    on_step: OnStep,
) -> None:
    whole = source.summary(columns, day.after, day.upto)
    if target.summary(columns, day.after, day.upto) == whole:
        return
    # Lots are inserted in order, each of them whole or not at all.
    after = target.last(day.after, day.upto)
    there = target.summary(columns, day.after, after)
    moved = sum(count for count, _, _ in there.values())
    if there != source.summary(columns, day.after, after):
        target.remove(day.after, day.upto)
        after, moved = day.after, 0
    while after < day.upto:
        upto, events = source.lot(after, day.upto)
        if not events:
            break
        target.insert(columns, source.rows(columns, target.fence, after, upto))
        on_step("lot")
        after, moved = upto, moved + events
        show(moved)
    if target.summary(columns, day.after, day.upto) != whole:
        raise _differs(day.name)


def _differs(day: str) -> SettingsError:
    return SettingsError(
        f"HEADRACE_STORE_URL: The store there does not have the same events of {day} as this folder's. Run the command again; if "
        "that does not help, drop the database, make it anew and begin again: the folder still has everything."
    )
