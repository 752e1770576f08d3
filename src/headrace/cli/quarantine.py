"""`headrace quarantine`: entries of the log that were put aside because they cannot be read. Parses and prints."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import App, Parameter

from headrace.cli.opened import Data
from headrace.dialects.settings import ServerSettings
from headrace.model.errors import InvalidRequest, SettingsError
from headrace.model.quarantine import Quarantined
from headrace.model.times import render_time

All = Annotated[bool, Parameter(name="--all", help="Every entry that is put aside.")]

app = App(
    name="quarantine",
    help="List, export, retry and drop acknowledged entries that were put aside because they cannot be read.",
)
_AT_ONCE = 1000


class Exported(msgspec.Struct, frozen=True):
    """A line of an export. text: the payload as text, to be corrected; bytes that are not UTF-8 become U+FFFD."""

    id: str
    found_at: str
    why: str
    text: str
    payload: bytes


@app.command(name="list")
def print_list(*, data: Data = None) -> None:
    """List the entries that are put aside, oldest first, as tab-separated lines."""
    print("id", "found_at", "kind", "bytes", "why", sep="\t")
    for entry in _listed(data):
        kind = "command" if entry.kind else "event"
        print(entry.id, render_time(entry.found_at_ms), kind, len(entry.payload), entry.why, sep="\t")


@app.command
def export(*ids: str, data: Data = None) -> None:
    """Print entries as JSON lines: `text` is what could be read, `payload` the exact bytes in base64.

    Correct `text`, and pass the lines to `headrace quarantine retry --file` to store the corrected events.

    Args:
        ids: Entries to print; default: all.
    """
    wanted = set(ids)
    for entry in _listed(data):
        if not ids or entry.id in wanted:
            wanted.discard(entry.id)
            text = entry.payload.decode(errors="replace")
            line = Exported(entry.id, render_time(entry.found_at_ms), entry.why, text, entry.payload)
            print(msgspec.json.encode(line).decode())
    if wanted:
        raise InvalidRequest(f"Nothing is put aside under the id {min(wanted)[:80]!r}.")


@app.command
def retry(*ids: str, every: All = False, as_is: bool = False, file: Path | None = None, data: Data = None) -> None:
    """Read entries from the log again, and store those that can be read now under their ids. Exits with 1 if some cannot.

    Args:
        ids: Entries to retry.
        as_is: Store a damaged entry as it was read, if that is an event.
        file: Store the `text` of these lines of an export, which you have corrected.
    """
    corrected: dict[str, bytes] = {}
    if file is not None:
        try:
            lines = [line for line in file.read_bytes().splitlines() if line.strip()]
            given = [msgspec.json.decode(line, type=Exported) for line in lines]
        except OSError as error:
            raise SettingsError(f"Cannot read {file}: {error.strerror}.") from None
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{file}: {error}.") from None
        corrected = {each.id: each.text.encode() for each in given if not ids or each.id in ids}
        ids = ids or tuple(corrected)
    found = _ask(
        data, {"action": "retry", "ids": _chosen(ids, data, every=every), "asIs": as_is, "corrected": corrected}
    )
    for each in found["stored"]:
        print(f"{each}\tstored")
    for each, why in found["failed"]:
        print(f"{each}\tstill put aside: {why}", file=sys.stderr)
    if found["failed"]:
        raise SystemExit(1)


@app.command
def drop(*ids: str, every: All = False, data: Data = None) -> None:
    """Delete entries permanently. If a sender repeats one of them, it is accepted as a new event.

    Args:
        ids: Entries to drop.
    """
    found = _ask(data, {"action": "drop", "ids": _chosen(ids, data, every=every)})
    print(f"dropped {found['dropped']}")


def _chosen(ids: tuple[str, ...], data: Path | None, *, every: bool) -> list[str]:
    if bool(ids) == every:
        raise InvalidRequest("Name the entries, or give --all: `headrace quarantine list` shows them.")
    return [entry.id for entry in _listed(data)] if every else list(ids)


def _listed(data: Path | None) -> list[Quarantined]:
    found: list[Quarantined] = []
    while True:
        after = found[-1].position if found else -1
        page = msgspec.convert(
            _ask(data, {"action": "list", "after": after, "limit": _AT_ONCE}), list[Quarantined], strict=True
        )
        found += page
        if len(page) < _AT_ONCE:
            return found


def _ask(data: Path | None, asked: dict[str, object]) -> Any:
    # Imported here: it loads the store's engine, which the other commands do not need.
    from headrace.cli.local import quarantine  # noqa: PLC0415

    return msgspec.json.decode(quarantine(ServerSettings.from_environ(os.environ, data=data), asked))
