"""What commands on the control database share: they work with or without a running server."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from sqlalchemy import Engine

from headrace.assembly.control import open_control
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings

Data = Annotated[Path | None, Parameter(help="Data folder; default: HEADRACE_DATA, else ./headrace-data.")]


@contextmanager
def open_used(data: Path | None, /) -> Generator[Engine]:
    """The control database of a folder that a server has used. Raises SettingsError for any other."""
    settings = Settings.from_environ(os.environ, data=data)
    path = settings.data / "control.sqlite"
    if not settings.control_url and not path.exists():
        raise SettingsError(
            f"No server has used the data folder {settings.data.absolute()}: there is no {path.name} in it. "
            "Start `headrace serve` on it first, or name another with --data or HEADRACE_DATA."
        )
    engine = open_control(settings)
    try:
        yield engine
    finally:
        engine.dispose()


def now_ms() -> int:
    return time.time_ns() // 1_000_000
