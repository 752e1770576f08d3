"""Commands: the log's entries that are not events. Separates them from events, and hands them to whoever runs them."""

from collections.abc import Callable, Mapping

import structlog

from headrace.model.entries import Kind, Record

_log = structlog.get_logger("headrace.pipeline.commands")


def split(records: list[Record], /) -> tuple[list[Record], list[Record]]:
    """The events and the commands among records, each in order. What is left of erased events is neither."""
    others = [record for record in records if record.kind]
    if not others:
        return records, others
    events = [record for record in records if not record.kind]
    return events, [record for record in others if record.kind != Kind.ERASED]


Run = Callable[[int, bytes], None]
"""Runs a command, given its position and payload."""


class Commands:
    """Runs each kind of command that it was given something for, and skips the others."""

    def __init__(self, runners: Mapping[int, Run]) -> None:
        self._runners = runners

    def __call__(self, position: int, kind: int, payload: bytes, /) -> None:
        """Raises what runs the command raises."""
        run = self._runners.get(kind)
        if run is None:
            skip(position, kind, payload)
        else:
            run(position, payload)


def skip(position: int, kind: int, payload: bytes, /) -> None:
    """Log a warning that a command is skipped: nothing runs its kind, or another version of this program appended it."""
    name = next((each.name.lower() for each in Kind if each == kind), str(kind))
    _log.warning("command_skipped", position=position, kind=name, bytes=len(payload))
