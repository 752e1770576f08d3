"""Some of `make fuzz`, always of the same seed."""

from tests.fuzz.neighbours import run
from tests.server import Server


def test_neighbours_of_a_spoilt_event_are_stored(server: Server, project: str) -> None:
    assert run(server, server.key(project), lambda sent: sent < 100, seed=14) == 100
