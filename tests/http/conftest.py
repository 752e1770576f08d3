"""A server that must never be surprised, and servers of a test's own."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, Protocol

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


class FullLog(NamedTuple):
    """A server whose log is full with one event, and stays so until `told` says "ok", for its store fails until then."""

    server: Server
    told: Path


@pytest.fixture
def full_log(tmp_path: Path) -> Iterator[FullLog]:
    told = tmp_path / "told"
    told.write_text("fail")
    command = [sys.executable, "-m", "tests.guarantees.serve_on_bad_store", str(told)]
    server = Server(tmp_path / "data", {"HEADRACE_LOG_MAX_BYTES": "1"}, command=command).start()
    with server.client(server.key()) as client:
        assert client.post("/api/v1/events", json={"name": "first"}).status_code == 201
    yield FullLog(server, told)
    server.kill()
