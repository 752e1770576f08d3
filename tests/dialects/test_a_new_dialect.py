"""A dialect is one file with a table: a server that is given one more speaks it, and nothing else had to be told of it."""

import sys
from collections.abc import Iterator

import httpx
import pytest

from tests.http.raw import ask, request
from tests.server import Server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    command = [sys.executable, "-m", "tests.dialects.serve_with_toy"]
    server = Server(
        tmp_path_factory.mktemp("toy"), {"HEADRACE_RATE_LIMITS": "on", "HEADRACE_LIMIT_TOY": "1000"}, command
    ).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def toy(server: Server, project: str) -> Iterator[httpx.Client]:
    """A client of a fresh project; not the suite's own, which holds replies against the document."""
    key = server.key(project)
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60) as client:
        yield client


def test_its_events_are_stored_and_every_other_dialect_finds_them(toy: httpx.Client) -> None:
    response = toy.post("/toy", content="ann did jump\nnonsense\nbob did jump")
    assert (response.status_code, response.text) == (202, "2 taken, 1 not")
    listed = toy.get("/api/v1/events").json()["data"]
    assert [(row["name"], row["user_id"]) for row in listed] == [("jump", "bob"), ("jump", "ann")]
    assert [row["event"] for row in toy.get("/v1/admin/events?source=toy").json()["events"]] == ["jump", "jump"]
    assert toy.get("/toy/said/jump").text == "2 times"


def test_its_key_may_be_in_the_body(server: Server, toy: httpx.Client) -> None:
    key = toy.headers["Authorization"].removeprefix("Bearer ")
    with httpx.Client(base_url=server.url, trust_env=False) as nobody:
        assert nobody.post("/toy", content=f"I am {key}\nann did sing").status_code == 202
        assert nobody.post("/toy", content="ann did sing").text == "401 unauthorized: Begin with 'I am <key>'."
    assert toy.get("/toy/said/sing").text == "1 times"


def test_its_errors_are_in_its_own_words_wherever_they_arise(server: Server, toy: httpx.Client) -> None:
    for response, status in (
        (toy.get("/toy/nowhere"), "404 not_found"),
        (toy.get("/toy"), "405 method_not_allowed"),
        (toy.get("/toy/said/x", headers={"Authorization": "Bearer no"}), "401 unauthorized"),
    ):
        assert response.text.startswith(status)
        assert response.headers["Content-Type"] == "text/plain"
    refused = ask(server.url, request("POST", "/toy", None).replace(b"HTTP/1.1", b"HTTP/1.9"))  # not by the application
    assert refused.text.startswith("400 invalid_request")


def test_pages_may_send_to_it_and_not_read(toy: httpx.Client) -> None:
    origin = {"Origin": "https://app.example"}
    preflight = toy.options("/toy", headers=origin | {"Access-Control-Request-Method": "POST"})
    assert (preflight.status_code, preflight.headers["Allow"]) == (204, "POST, OPTIONS")
    for response in (toy.post("/toy", content="a did b", headers=origin), toy.get("/toy/hello/ann", headers=origin)):
        assert response.headers["Access-Control-Allow-Origin"] == "https://app.example"
    assert response.text == "hello, ann"
    assert "Access-Control-Allow-Origin" not in toy.get("/toy/said/x", headers=origin).headers


def test_its_limit_and_its_counts_are_kept(toy: httpx.Client) -> None:
    assert toy.post("/toy", content="ann did jump").headers["X-RateLimit-Limit"] == "1000"
    metrics = toy.get("/metrics").text
    assert 'headrace_events_total{outcome="accepted",source="toy"}' in metrics
    assert 'route="/toy/said/{what}"' in metrics
