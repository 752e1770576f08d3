"""Answers to queries carry a tag, and whoever names it is told that nothing has changed, or gets the new answer."""

from typing import Any

import pytest

from headrace.dialects.route import Ask
from headrace.dialects.table import DIALECTS
from tests.http.routes import READ, Route
from tests.server import Client, Server

_ASKING = {route.path for dialect in DIALECTS for route in dialect.routes if isinstance(route.does, Ask)}
TAGGED = [
    route
    for route in READ
    if route.status == 200 and route.template in {*_ASKING, "/api/v1/catalog", "/v1/admin/events/names"}
]
COUNT = "/api/v1/events/count"


@pytest.mark.parametrize("route", TAGGED, ids=str)
def test_a_query_that_names_the_tag_of_its_answer_is_told_that_it_is_still_that(client: Client, route: Route) -> None:
    assert client.post("/api/v1/events", json={"name": "n"}).status_code == 201
    first = client.get(route.path)
    tag = first.headers["ETag"]
    assert (first.status_code, first.headers["Cache-Control"]) == (200, "private, no-cache")
    for named in (tag, f'"x", W/{tag}', "*"):
        again = client.get(route.path, headers={"If-None-Match": named})
        assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    other = client.get(route.path, headers={"If-None-Match": '"cae66941d9efbd404e4d88758ea67670"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_an_event_acknowledged_since_makes_the_answer_another(client: Client) -> None:
    def ask(tag: str = "") -> Any:
        return client.get(COUNT, params={"to": "2025-01-15"}, headers={"If-None-Match": tag})

    event = {"name": "n", "timestamp": "2025-01-15T10:00:00Z"}
    for expected in (0, 1, 2):
        found = ask()
        assert found.json()["data"]["total"] == expected
        client.post("/api/v1/events", json=event | {"timestamp": "2025-01-16T10:00:00Z"})
        assert ask(found.headers["ETag"]).status_code == 304, "that one lies outside of what was asked for"
        client.post("/api/v1/events", json=event)
        assert ask(found.headers["ETag"]).status_code == 200


def test_head_has_the_tag_and_what_has_no_answer_has_none(client: Client) -> None:
    assert client.head(COUNT).headers["ETag"] == client.get(COUNT).headers["ETag"]
    missing = client.get("/api/v1/events/evt_00000000000000000000000000000000", headers={"If-None-Match": "*"})
    assert missing.status_code == 404
    assert "ETag" not in missing.headers
    assert "ETag" not in client.post("/api/v1/query", json={}).headers


def test_repeats_come_from_memory(server: Server, client: Client) -> None:
    def figure(name: str) -> float:
        with server.client() as operator:
            lines = operator.get("/metrics").text.splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"headrace_{name} "))

    for _ in range(2):  # the first insert after these may come late
        client.get(COUNT, params={"to": "2024-01-01"})
    hits = figure("query_cache_hits_total")
    assert client.get(COUNT, params={"to": "2024-01-01"}).json()["data"]["total"] == 0
    assert figure("query_cache_hits_total") > hits
    assert 0 < figure("query_cache_bytes") < 32 * 1024 * 1024
