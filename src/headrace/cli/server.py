"""What commands on the running server share: the tenant they act for, how they ask, and how they print responses."""

import os
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from headrace.dialects.settings import ServerSettings
from headrace.model.event import Mode
from headrace.model.keys import check_project
from headrace.model.settings import Settings

Data = Annotated[Path | None, Parameter(help="Data folder of the running server; default: HEADRACE_DATA.")]


class Server(msgspec.Struct, frozen=True):
    """The server that runs on a data folder, and the project and mode that the command acts for."""

    project: str
    mode: Mode
    data: Path | None

    def __post_init__(self) -> None:
        """Raises InvalidRequest for what cannot be the name of a project, before a command begins anything."""
        check_project(self.project)

    def ask_bytes(self, method: str, path: str, body: object = None, /) -> bytes:
        """The response body. Raises SettingsError if no server runs, InvalidRequest or Unavailable with its message."""
        from headrace.cli.local import broken_off  # noqa: PLC0415  as below

        with self.opened(path, method, body) as reply:
            try:
                return reply.read()
            except (OSError, HTTPException) as error:
                raise broken_off(error) from None

    def opened(self, path: str, method: str = "GET", body: object = None, /) -> HTTPResponse:
        """The response, to be read piece by piece and closed. Raises what `ask_bytes` raises."""
        # Imported here: it loads the store's engine, which other commands do not need.
        from headrace.cli.local import opened  # noqa: PLC0415

        headers = {"Headrace-Project": self.project, "Headrace-Mode": self.mode}
        return opened(self.settings, method, path, body, headers)

    @property
    def settings(self) -> Settings:
        return ServerSettings.from_environ(os.environ, data=self.data)

    def ask(self, method: str, path: str, body: object = None, /) -> Any:
        """The response's JSON; None where it has no body. Raises what `ask_bytes` raises."""
        reply = self.ask_bytes(method, path, body)
        return msgspec.json.decode(reply) if reply else None


def print_json(reply: object, /) -> None:
    print(msgspec.json.format(msgspec.json.encode(reply)).decode())
