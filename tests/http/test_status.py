"""How the server is doing: a project sees its own lag, and whoever runs the server sees all of it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headrace import __version__
from headrace.assembly.throughput import Throughput
from headrace.model.status import Step
from tests.http.routes import assert_refused
from tests.server import Client, Server

OPERATORS = "a-key-in-the-settings-of-the-server"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("status"), {"HEADRACE_ADMIN_KEY": OPERATORS}).start()
    yield server
    server.stop()


@pytest.fixture
def asking(running: Server) -> Iterator[Callable[[str], Client]]:
    opened: list[Client] = []

    def ask(key: str) -> Client:
        opened.append(running.client(key))
        return opened[-1]

    yield ask
    for client in opened:
        client.close()


def test_a_project_sees_its_own_reactions_and_nothing_of_the_whole_server(
    running: Server, asking: Callable[[str], Client]
) -> None:
    client = asking(running.key("acme", "test"))
    status = client.get("/api/v1/status").json()["data"]
    assert status["server"] is None
    assert status["versions"]["headrace"] == __version__
    assert status["reactions"] == {
        "project": "acme",
        "mode": "test",
        "waiting": 0,
        "lag_seconds": 0,
        "passed_over": 0,
        "rules_put_aside": 0,
    }


def test_the_operator_sees_the_figures_of_all_projects_together(asking: Callable[[str], Client]) -> None:
    client = asking(OPERATORS)
    assert client.post("/api/v1/events", json={"name": "visit"}).status_code == 201
    client.get("/api/v1/events")  # waits until it is visible
    server = client.get("/api/v1/status").json()["data"]["server"]
    assert server["oldest_unseen_seconds"] == 0
    assert (server["queries"], server["problems"]) == ({"running": 0, "waiting": 0}, [])
    assert 0 < server["disk"]["free_bytes"] <= server["disk"]["total_bytes"]
    assert server["log"]["bytes"] > 0
    assert server["reactions"] == {"unreacted_events": 0, "behind": 0, "projects": []}


def test_a_setting_shows_them_to_every_key(tmp_path: Path) -> None:
    server = Server(tmp_path, {"HEADRACE_STATUS_FIGURES": "everyone"}).start()
    try:
        with server.client(server.key("acme", style="flux")) as client:
            assert client.get("/api/v1/status").json()["data"]["server"] is not None
    finally:
        server.stop()


def test_a_key_without_the_scope_query_and_unknown_parameters_are_refused(
    running: Server, asking: Callable[[str], Client]
) -> None:
    assert_refused(asking(running.key(style="bricqs")).get("/api/v1/status"), "native", 403)
    assert_refused(asking(OPERATORS).get("/api/v1/status", params={"whole": "1"}), "native", 400)


def test_rates_are_what_came_between_two_looks_and_a_quarter_of_an_hour_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("headrace.assembly.throughput.time.monotonic", lambda: now)
    stored = 0
    counted = Throughput(lambda: stored, lambda: int(now * 1000))
    for number in range(200):
        counted.sample()
        counted.accepted += number * 10
        counted.refused += 1
        counted.refused_requests += 5
        stored += number
        now += 10
    steps = counted.steps()
    assert len(steps) == 90
    assert steps[-1] == Step(1_990_000, 198.0, 19.8, 0.1, 0.5)
    assert [step.accepted for step in steps] == [float(number) for number in range(109, 199)]
