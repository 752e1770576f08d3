"""Checks that the files of the log and of control are there and undamaged, and says how to repair them. Read-only."""

import sqlite3
from contextlib import closing
from pathlib import Path

from headrace.model.settings import Settings

_QUICK_BYTES = 64 * 1024 * 1024  # a larger file is not read at startup: this size takes 0.1 s
_MOST_ROWS = 5
_HOW_TO_MEND_CONTROL = (
    "Stop the server and put back a copy of the file. Without one, save what can be read: "
    "`sqlite3 control.sqlite .recover | sqlite3 new.sqlite`, and put new.sqlite in its place."
)
_HOW_TO_MEND_LOG = (
    "The server copies what can be read as soon as it comes upon it, and keeps the damaged file; "
    "`headrace quarantine list` then shows what was lost."
)


def missing(settings: Settings, /) -> list[str]:
    """A sentence for each file that is not there, as after half a restore: what goes with it, and what to do.

    Call it before anything is opened, for opening makes new files. A folder that is new lacks them too.
    """
    what_to_do = "If you have a copy, stop the server and put it back, and move the new file out of the way."
    found: list[str] = []
    if not settings.control_url and not _holds_anything(settings.data / "control.sqlite"):
        found.append(
            f"The control database {settings.data / 'control.sqlite'} was not there, and a new one was made: "
            f"without keys, rules, points, journeys and webhooks. {what_to_do}"
        )
    is_elsewhere = settings.log_url or (settings.data / "log.json").exists()  # see `assembly.log`
    if not is_elsewhere and not _holds_anything(settings.data / "log.sqlite"):
        found.append(
            f"The log {settings.data / 'log.sqlite'} was not there, and a new one was made: events that were acknowledged "
            f"and not stored yet are missing. {what_to_do}"
        )
    return found


def _holds_anything(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def problems(settings: Settings, /, *, quick: bool) -> list[str]:
    """A sentence for each damaged file: where it is, and what to do. Another process may have the files open.

    quick: for startup, check only what takes a moment; otherwise check every page, and that indexes agree with their tables.
    PostgreSQL looks after its own files.
    """
    files = [("log", settings.data / "log.sqlite", _HOW_TO_MEND_LOG)]
    if not settings.control_url:
        files.append(("control database", settings.data / "control.sqlite", _HOW_TO_MEND_CONTROL))
    return [
        f"The {name} {path} is damaged: {found}. {how_to_mend}"
        for name, path, how_to_mend in files
        if path.is_file()
        and not (quick and path.stat().st_size > _QUICK_BYTES)
        and (found := _damage(path, quick=quick))
    ]


def _damage(path: Path, *, quick: bool) -> str:
    """What SQLite finds wrong with a file, or ""."""
    pragma = f"PRAGMA {'quick_check' if quick else 'integrity_check'}({_MOST_ROWS})"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            rows = [str(row[0]) for row in connection.execute(pragma)]
    except (
        sqlite3.OperationalError
    ):  # locked, or out of room: nothing is known, and whatever uses the file will report it
        return ""
    except sqlite3.DatabaseError as error:
        return str(error)
    return (
        ""
        if rows == ["ok"]
        else "; ".join(" ".join(row.replace("*** in database main ***", "").split()) for row in rows)
    )
