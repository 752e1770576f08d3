"""What commands on a running server share: where it is, the tenant they act for, how they ask, and how they print responses."""

import os
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

from headrace.cli.remote import Url, broken_off, remote_at
from headrace.dialects.settings import ServerSettings
from headrace.model.errors import InvalidRequest, SettingsError
from headrace.model.event import Mode
from headrace.model.keys import check_project
from headrace.model.settings import Settings

Data = Annotated[Path | None, Parameter(help="Data folder of the running server; default: HEADRACE_DATA.")]


class Server(msgspec.Struct, frozen=True):
    """A running server, and the project and mode that the command acts for.

    It is the one on a data folder; or with `url` the one there, and then the key decides project and mode, which are "".
    """

    project: str
    mode: Mode | str
    data: Path | None = None
    url: str = ""

    def __post_init__(self) -> None:
        """Raises InvalidRequest for what cannot be the name of a project, before a command begins anything."""
        if not self.url:
            check_project(self.project)

    def ask_bytes(self, method: str, path: str, body: object = None, /) -> bytes:
        """The response body. Raises SettingsError if no server runs, InvalidRequest or Unavailable with its message."""
        with self.opened(path, method, body) as reply:
            try:
                return reply.read()
            except (OSError, HTTPException) as error:
                raise broken_off(error) from None

    def opened(self, path: str, method: str = "GET", body: object = None, /) -> HTTPResponse:
        """The response, to be read piece by piece and closed. Raises what `ask_bytes` raises."""
        if self.url:
            return remote_at(self.url).opened(method, path, body)
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
        try:
            return msgspec.json.decode(reply) if reply else None
        except msgspec.DecodeError:
            if not self.url:
                raise
            raise SettingsError(f"What answered at {self.url} is no Headrace server: it sent no JSON.") from None


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """The options that say which server a command asks, and for which project and mode."""

    project: Annotated[
        str | None, Parameter(help="Project to act for; default: `default`. With --url, the key decides.")
    ] = None
    mode: Annotated[Mode | None, Parameter(help="live or test; default: live. With --url, the key decides.")] = None
    data: Data = None
    url: Url = ""

    def server(self) -> Server:
        """Raises InvalidRequest for options that contradict each other."""
        if not self.url:
            return Server("default" if self.project is None else self.project, self.mode or "live", self.data)
        require_alone(self.url, self.data)
        if self.project is not None or self.mode is not None:
            raise InvalidRequest("With --url, the key in HEADRACE_KEY decides project and mode: name neither.")
        return Server("", "", None, self.url)


HERE = Where()
"""The server on this machine's data folder, project `default`, mode live."""


def require_alone(url: str, data: Path | None, /) -> None:
    """Raises InvalidRequest for both."""
    if url and data is not None:
        raise InvalidRequest("Give --url or --data, not both.")


def print_json(reply: object, /) -> None:
    print(msgspec.json.format(msgspec.json.encode(reply)).decode())
