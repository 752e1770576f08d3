"""A server that must never be surprised, and servers of a test's own."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import pytest

from tests.server import Client, Server


@pytest.fixture(scope="module", autouse=True)
def nothing_unexpected(server: Server) -> Iterator[None]:
    """No test of a module made the server log an error of its own."""
    yield
    assert [line for line in server.logs if line.get("level") in ("error", "critical")] == []


@pytest.fixture
def key(client: Client) -> str:
    """The key of `client`."""
    return client.headers["Authorization"].removeprefix("Bearer ")


class MakeServer(Protocol):
    def __call__(self, settings: Mapping[str, str] = {}) -> Server: ...


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[MakeServer]:
    """Makes a started server on a folder of its own, with the admin key "secret"; whatever is left of it is killed."""
    made: list[Server] = []

    def make(settings: Mapping[str, str] = {}) -> Server:
        server = Server(tmp_path / f"data{len(made)}", {"HEADRACE_ADMIN_KEY": "secret"} | dict(settings))
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.kill()
