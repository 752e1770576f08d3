"""Commands: the log's entries that are not events. Separates them from events, and skips those that nothing can run yet."""

import structlog

from headrace.model.entries import Kind, Record

_log = structlog.get_logger("headrace.pipeline.commands")


def split(records: list[Record], /) -> tuple[list[Record], list[Record]]:
    """The events and the commands among records, each in order."""
    commands = [record for record in records if record.kind]
    if not commands:
        return records, commands
    return [record for record in records if not record.kind], commands


def skip(position: int, kind: int, payload: bytes, /) -> None:
    """Log a warning that a command is skipped. No kind can be run yet, or another version of this program appended it."""
    name = next((each.name.lower() for each in Kind if each == kind), str(kind))
    _log.warning("command_skipped", position=position, kind=name, bytes=len(payload))
