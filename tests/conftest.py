"""One server for the whole suite; every test that uses it takes a project of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.server import Client, Server

_projects = itertools.count()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("data")).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def project() -> str:
    """A project that no other test knows."""
    return f"project-{next(_projects)}"


@pytest.fixture
def client(server: Server, project: str) -> Iterator[Client]:
    """A client with every scope on a fresh project."""
    with server.client(server.key(project)) as client:
        yield client
