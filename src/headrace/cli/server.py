"""What commands on the running server share: the tenant they act for, how they ask, and how they print responses."""

import os
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from headrace.model.event import Mode
from headrace.model.settings import Settings

Data = Annotated[Path | None, Parameter(help="Data folder of the running server; default: HEADRACE_DATA.")]


class Server(msgspec.Struct, frozen=True):
    """The server that runs on a data folder, and the project and mode that the command acts for."""

    project: str
    mode: Mode
    data: Path | None

    def ask_bytes(self, method: str, path: str, body: object = None, /) -> bytes:
        """The response body. Raises SettingsError if no server runs, InvalidRequest or Unavailable with its message."""
        # Imported here: it loads the store's engine, which other commands do not need.
        from headrace.cli.local import ask  # noqa: PLC0415

        settings = Settings.from_environ(os.environ, data=self.data)
        headers = {"Headrace-Project": self.project, "Headrace-Mode": self.mode}
        return ask(settings, method, path, body, headers)

    def ask(self, method: str, path: str, body: object = None, /) -> Any:
        """The response's JSON; None where it has no body. Raises what `ask_bytes` raises."""
        reply = self.ask_bytes(method, path, body)
        return msgspec.json.decode(reply) if reply else None


def print_json(reply: object, /) -> None:
    print(msgspec.json.format(msgspec.json.encode(reply)).decode())
