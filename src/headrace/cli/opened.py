"""What commands on the control database share: they work with or without a running server, and what they change is audited."""

import getpass
import os
import socket
import time
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from sqlalchemy import Engine

from headrace.assembly.control import open_control
from headrace.dialects.settings import ServerSettings
from headrace.model.audit import Actor, Deed, doing
from headrace.model.errors import SettingsError

Data = Annotated[Path | None, Parameter(help="Data folder; default: HEADRACE_DATA, else ./headrace-data.")]


@contextmanager
def open_used(data: Path | None, /) -> Generator[Engine]:
    """The control database of a folder that a server has used. What the command changes in it is audited.

    Raises SettingsError for any other folder.
    """
    settings = ServerSettings.from_environ(os.environ, data=data)
    path = settings.data / "control.sqlite"
    if not settings.control_url and not path.exists():
        raise SettingsError(
            f"No server has used the data folder {settings.data.absolute()}: there is no {path.name} in it. "
            "Start `headrace serve` on it first, or name another with --data or HEADRACE_DATA."
        )
    engine = open_control(settings)
    try:
        with doing(deed_of(running.get())):
            yield engine
    finally:
        engine.dispose()


running: ContextVar[str] = ContextVar("running", default="")
"""The command that is being run, such as `keys create`, without its arguments."""


def deed_of(action: str, detail: str = "") -> Deed:
    """What a command does, for the audit."""
    actor = Actor(kind="command", name=user_name(), address=socket.gethostname())
    return Deed(actor=actor, action=action, at_ms=now_ms(), detail=detail)


def user_name() -> str:
    """Who runs the command: the user's name, or its number if it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # Python before 3.13 raises the first
        return str(os.getuid())


def now_ms() -> int:
    return time.time_ns() // 1_000_000
