"""The Rate Limits table of the Flux document, on a server that has them on; a fresh key begins with nothing used."""

import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.server import Client, Server

EVENTS = "/api/v1/events"


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("limited"), {"HEADRACE_RATE_LIMITS": "on"}).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def sender(limited: Server, project: str) -> Iterator[Client]:
    with limited.client(limited.key(project)) as client:
        yield client


def spent(response: httpx.Response, policy: str, limit: int, remaining: int) -> None:
    """The six headers agree with each other and say what is left."""
    headers = response.headers
    assert headers["X-RateLimit-Limit"] == str(limit)
    assert headers["X-RateLimit-Remaining"] == str(remaining)
    assert time.time() - 1 <= int(headers["X-RateLimit-Reset"]) <= time.time() + 61
    assert headers["RateLimit-Policy"] == f'"{policy}";q={limit};w=60'
    found = re.fullmatch(rf'"{policy}";r={remaining};t=(\d+)', headers["RateLimit"])
    assert found
    assert 1 <= int(found[1]) <= 60


def limited_reply(response: httpx.Response) -> None:
    assert response.status_code == 429
    assert response.json().keys() == {"error"}
    assert response.json()["error"]["code"] == "rate_limited"
    assert re.fullmatch(r"\d+", response.headers["Retry-After"])
    assert 1 <= int(response.headers["Retry-After"]) <= 60


def test_the_eleventh_batch_in_a_minute_is_refused_and_stores_nothing(sender: Client) -> None:
    for number in range(10):
        response = sender.post(f"{EVENTS}/batch", json=[{"name": "in"}])
        assert response.status_code == 201
        spent(response, "flux_batch", 10, 9 - number)
    for _ in range(2):
        response = sender.post(f"{EVENTS}/batch", json=[{"name": "refused"}])
        limited_reply(response)
        spent(response, "flux_batch", 10, 0)
    assert sender.get(f"{EVENTS}/count").json()["data"]["total"] == 10


def test_the_sixty_first_query_in_a_minute_is_refused_whichever_query_it_is(sender: Client) -> None:
    event_id = sender.post(EVENTS, json={"name": "n"}).json()["data"]["id"]
    paths = (EVENTS, f"{EVENTS}/count", f"{EVENTS}/stats", f"{EVENTS}/{event_id}")
    for number in range(60):
        response = sender.get(paths[number % 4])
        assert response.status_code == 200
        spent(response, "flux_query", 60, 59 - number)
    for path in paths:
        response = sender.get(path)
        limited_reply(response)
        spent(response, "flux_query", 60, 0)


def test_a_request_that_is_malformed_counts_and_one_without_a_key_does_not(sender: Client, limited: Server) -> None:
    with limited.client() as nobody:
        for _ in range(12):
            response = nobody.post(f"{EVENTS}/batch", json=[{"name": "n"}])
            assert response.status_code == 401
            assert "X-RateLimit-Limit" not in response.headers
    for number in range(10):
        response = sender.post(f"{EVENTS}/batch", content=b"{")
        assert response.status_code == 400
        spent(response, "flux_batch", 10, 9 - number)
    limited_reply(sender.post(f"{EVENTS}/batch", json=[{"name": "n"}]))


def test_each_key_has_its_own_limit_and_each_kind_of_request_too(sender: Client, limited: Server, project: str) -> None:
    for _ in range(10):
        sender.post(f"{EVENTS}/batch", json=[{"name": "n"}])
    limited_reply(sender.post(f"{EVENTS}/batch", json=[{"name": "n"}]))
    assert sender.get(EVENTS).status_code == 200
    with limited.client(limited.key(project)) as other:
        assert other.post(f"{EVENTS}/batch", json=[{"name": "n"}]).status_code == 201


def test_single_events_have_no_limit_unless_it_is_set(sender: Client) -> None:
    for _ in range(70):
        response = sender.post(EVENTS, json={"name": "n"})
        assert response.status_code == 201
        assert not [name for name in response.headers if "ratelimit" in name.lower()]
    assert sender.get(f"{EVENTS}/count").json()["data"]["total"] == 70


def test_the_other_dialects_have_no_limit_unless_it_is_set(sender: Client) -> None:
    event = {"event_name": "n", "participant_id": "p"}
    requests = (
        ("POST", "/api/v1/ingest/events/batch", {"events": [event]}),
        ("POST", "/api/events", {"batch": [{}], "sentAt": "2024-01-01"}),
        ("GET", "/v1/admin/events?limit=1", None),
    )
    for method, path, body in requests:
        for _ in range(65):
            response = sender.request(method, path, json=body)
            assert response.status_code in (200, 202)
            assert not [name for name in response.headers if "ratelimit" in name.lower()]
