"""Keys made faster than by opening the control database for each, and a server that must never be surprised."""

from collections.abc import Iterator

import pytest

from headrace.control.database import open_database
from headrace.control.keys import Keys
from tests.server import Client, Server


@pytest.fixture(scope="session")
def keys(server: Server) -> Iterator[Keys]:
    """The server's keys, as the command line opens them."""
    engine = open_database(server.data / "control.sqlite")
    yield Keys(engine)
    engine.dispose()


@pytest.fixture(scope="module", autouse=True)
def nothing_unexpected(server: Server) -> Iterator[None]:
    """No test of a module made the server log an error of its own."""
    yield
    assert [line for line in server.logs if line.get("level") in ("error", "critical")] == []


@pytest.fixture
def key(client: Client) -> str:
    """The key of `client`."""
    return client.headers["Authorization"].removeprefix("Bearer ")
