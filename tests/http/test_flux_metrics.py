"""Flux's metrics and its gem's batches over a real server: nothing is half lost, and no point is an event."""

import json
from typing import Any

import pytest

from headrace.dialects.settings import ServerSettings
from tests.http.routes import assert_refused, stored
from tests.server import Client, Server

METRICS = "/api/v1/metrics"
GEM = "/api/v1/flux/batch"
AT = "2024-01-15T10:30:00Z"


def query(client: Client, name: str, **parameters: Any) -> Any:
    response = client.get(f"{METRICS}/{name}/query", params=parameters)
    assert response.status_code == 200, response.text
    return response.json()["data"]


def put(client: Client, *points: dict[str, Any]) -> None:
    response = client.post(f"{METRICS}/batch", json={"metrics": [{"timestamp": AT} | point for point in points]})
    assert response.json() == {"data": {"accepted": len(points), "rejected": 0}}


# The examples of the vendor's page


def test_a_point_is_answered_as_the_page_shows(client: Client) -> None:
    point = {"name": "api.response_time", "type": "distribution", "value": 145.2, "timestamp": AT}
    response = client.post(METRICS, json=point | {"tags": {"endpoint": "/users", "method": "GET", "status": "200"}})
    assert response.status_code == 201
    assert response.json() == {"data": point}


@pytest.mark.parametrize(
    "point",
    [
        {"name": "users.online", "type": "gauge", "value": 234},
        {"name": "api.requests", "type": "counter", "value": 1},
        {"name": "daily_active_users", "type": "set", "value": "user_123"},
    ],
)
def test_each_type_is_taken_and_in_the_next_query(client: Client, point: dict[str, Any]) -> None:
    assert client.post(METRICS, json=point).json()["data"]["value"] == point["value"]
    [metric] = client.get(METRICS).json()["data"]
    assert (metric["name"], metric["type"], metric["points"]) == (point["name"], point["type"], 1)
    assert query(client, point["name"])["value"] == (1 if point["type"] == "set" else point["value"])


# What the gem sends


def gem_batch() -> dict[str, Any]:
    """As BrainzLab::Flux builds it: absent fields are null, tags and ids are whatever the caller had."""
    return {
        "events": [
            {
                "name": "user.signup",
                "timestamp": "2024-01-15T10:30:00.250Z",
                "properties": {"plan": "pro"},
                "user_id": 123,
                "session_id": None,
                "value": "29.99",
                "tags": {"trial": True, "seats": 3, "ratio": 0.5, "source": "web", "nothing": None},
                "environment": "production",
                "service": "shop",
            }
        ],
        "metrics": [
            {"type": "gauge", "name": "queue.depth", "value": 7, "tags": {}, "timestamp": AT},
            {"type": "counter", "name": "api.requests", "value": 5, "tags": {"status": 200}, "timestamp": AT},
            {"type": "counter", "name": "api.requests", "value": -2, "tags": {"status": 200}, "timestamp": AT},
            {"type": "distribution", "name": "query", "value": 12.5, "tags": {"unit": "ms"}, "timestamp": AT},
            {"type": "set", "name": "users", "value": "123", "tags": {}, "timestamp": AT},
        ],
    }


def test_nothing_that_the_gem_sends_is_lost(client: Client) -> None:
    response = client.post(GEM, json=gem_batch())
    assert response.status_code == 201
    assert response.json() == {"events_ingested": 1, "metrics_ingested": 5, "total": 6}
    [event] = client.get("/api/v1/events").json()["data"]
    assert (event["user_id"], event["value"]) == ("123", 29.99)
    assert event["tags"] == {"trial": "true", "seats": "3", "ratio": "0.5", "source": "web"}
    assert query(client, "queue.depth")["value"] == 7
    assert query(client, "api.requests", **{"tags[status]": "200"})["value"] == 3
    assert query(client, "query", aggregation="p99")["value"] == 12.5
    assert query(client, "users")["value"] == 1


def test_an_empty_user_of_the_gem_is_no_user_and_costs_no_event(client: Client) -> None:
    response = client.post(GEM, json={"events": [{"name": "user.signup", "user_id": ""}], "metrics": []})
    assert response.json()["events_ingested"] == 1
    assert [event["user_id"] for event in client.get("/api/v1/events").json()["data"]] == [None]


def test_a_bad_part_of_the_gems_batch_costs_only_itself(client: Client) -> None:
    batch = gem_batch()
    batch["events"].append({"name": " "})
    batch["metrics"][0]["value"] = "many"
    batch["metrics"][1]["tags"] = {"nested": {}}
    reply = client.post(GEM, json=batch).json()
    assert (reply["events_ingested"], reply["metrics_ingested"], reply["total"]) == (1, 3, 4)
    assert [(error["code"], error["message"].partition(":")[0]) for error in reply["errors"]] == [
        ("missing_name", "events[1]"),
        ("invalid_value", "metrics[0]"),
        ("invalid_tags", "metrics[1]"),
    ]


@pytest.mark.parametrize(
    "body", [{"events": [], "metrics": []}, {"events": []}, {"metrics": None, "events": None}, {"metrics": []}]
)
def test_an_empty_batch_of_the_gem_is_no_error(client: Client, body: Any) -> None:
    assert client.post(GEM, json=body).json() == {"events_ingested": 0, "metrics_ingested": 0, "total": 0}


def test_the_gem_is_never_under_the_limit_of_ten_batches_a_minute(server: Server, tmp_path: Any) -> None:
    limits = ServerSettings().limits()
    assert (limits["flux_batch"], limits["flux_gem"]) == (10, 0)
    limited = Server(tmp_path, {"HEADRACE_RATE_LIMITS": "on"}).start()
    try:
        with limited.client(limited.key(style="flux")) as client:
            gem = [client.post(GEM, json=gem_batch()).status_code for _ in range(12)]
            metrics = [client.post(f"{METRICS}/batch", json=gem_batch()).status_code for _ in range(11)]
            last = client.post(f"{METRICS}/batch", json=gem_batch())
    finally:
        limited.stop()
    assert gem == [201] * 12
    assert metrics == [201] * 10 + [429]
    assert int(last.headers["Retry-After"]) >= 1


# Points are no events


def test_points_are_in_no_view_of_events(client: Client) -> None:
    put(client, {"name": "m", "type": "gauge", "value": 1}, {"name": "s", "type": "set", "value": "u"})
    assert stored(client) == 0
    assert client.get("/api/v1/events").json()["meta"]["total"] == 0
    assert client.get("/api/v1/events/count").json()["data"] == {"total": 0}
    assert client.get("/api/v1/events/stats").json()["data"]["count"] == 0
    assert client.get("/v1/admin/events/names").json()["events"] == []
    assert client.get("/v1/admin/events/sources").json() == {"sources": []}
    assert client.get("/v1/admin/events", params={"userId": "u"}).json()["total"] == 0
    assert client.post("/v1/admin/events/replay", json={"filter": {"event": "m"}}).json()["replayed"] == 0


def test_no_key_of_another_project_or_mode_sees_them(server: Server, project: str, client: Client) -> None:
    put(client, {"name": "m", "type": "gauge", "value": 1})
    for key in (server.key(f"{project}-2"), server.key(project, "test")):
        with server.client(key) as stranger:
            assert stranger.get(METRICS).json()["data"] == []
            assert_refused(stranger.get(f"{METRICS}/m/query"), "flux", 404)


def test_a_repeated_point_counts_once_and_an_event_with_the_same_key_is_another_thing(client: Client) -> None:
    point = {"name": "m", "type": "counter", "value": 2, "idempotency_key": "k"}
    for _ in range(3):
        assert client.post(METRICS, json=point).status_code == 201
    client.post("/api/v1/events", json={"name": "n", "idempotency_key": "k"})
    for _ in range(2):
        client.post(GEM, json=gem_batch(), headers={"Idempotency-Key": "batch 1"})
    assert query(client, "m")["value"] == 2
    assert query(client, "api.requests")["value"] == 3
    assert stored(client) == 2


def test_points_survive_a_kill_and_count_once(tmp_path: Any) -> None:
    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        for number in range(20):
            put(client, {"name": "m", "type": "counter", "value": number, "idempotency_key": str(number)})
    server.kill()
    server.start()
    try:
        with server.client(key) as client:
            put(client, {"name": "m", "type": "counter", "value": 19, "idempotency_key": "19"})
            assert query(client, "m", aggregation="sum,count") == {
                "name": "m",
                "type": "counter",
                "aggregation": "sum,count",
                "sum": 190,
                "count": 20,
            }
    finally:
        server.stop()


# Queries


def test_figures_by_interval_and_tag(client: Client) -> None:
    put(
        client,
        {"name": "t", "type": "distribution", "value": 10, "tags": {"endpoint": "/a"}},
        {"name": "t", "type": "distribution", "value": 20, "tags": {"endpoint": "/a"}},
        {
            "name": "t",
            "type": "distribution",
            "value": 60,
            "tags": {"endpoint": "/b"},
            "timestamp": "2024-01-15T11:00:00Z",
        },
        {"name": "t", "type": "distribution", "value": 1, "timestamp": "2024-01-16T00:00:00Z"},
    )
    day = {"from": "2024-01-15", "to": "2024-01-15"}
    assert query(client, "t", aggregation="avg", interval="1h", group_by="tags.endpoint", **day) == {
        "name": "t",
        "type": "distribution",
        "aggregation": "avg",
        "value": 30,
        "interval": "1h",
        "series": [
            {"timestamp": "2024-01-15T10:00:00Z", "value": 15},
            {"timestamp": "2024-01-15T11:00:00Z", "value": 60},
        ],
        "groups": {
            "/a": {"value": 15, "series": [{"timestamp": "2024-01-15T10:00:00Z", "value": 15}]},
            "/b": {"value": 60, "series": [{"timestamp": "2024-01-15T11:00:00Z", "value": 60}]},
        },
    }
    assert query(client, "t", aggregation="p50,max,count", group_by="endpoint")["groups"] == {
        "/a": {"p50": 15, "max": 20, "count": 2},
        "/b": {"p50": 60, "max": 60, "count": 1},
    }
    assert query(client, "t", **{"tags[endpoint]": "/b"})["value"] == 60
    nothing = query(client, "t", aggregation="avg,sum,count", **{"from": "2030-01-01"})
    assert (nothing["avg"], nothing["sum"], nothing["count"]) == (None, 0, 0)


def test_a_rate_is_the_sum_a_second(client: Client) -> None:
    put(client, *({"name": "r", "type": "counter", "value": 30} for _ in range(4)))
    found = query(client, "r", aggregation="rate", interval="1m", **{"from": AT, "to": "2024-01-15T10:40:00Z"})
    assert found["value"] == 0.2
    assert found["series"] == [{"timestamp": AT, "value": 2}]


def test_a_definition_says_what_can_be_asked(client: Client) -> None:
    put(client, {"name": "g", "type": "gauge", "value": 1, "tags": {"b": "x", "a": 1}})
    found = client.get(f"{METRICS}/g").json()["data"]
    assert (found["tags"], found["aggregations"][0]) == (["a", "b"], "last")
    for aggregation in found["aggregations"]:
        assert query(client, "g", aggregation=aggregation)["value"] is not None


# No


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ({"type": "gauge", "value": 1}, "missing_name"),
        ({"name": "m", "value": 1}, "invalid_type"),
        ({"name": "m", "type": "histogram", "value": 1}, "invalid_type"),
        ({"name": "m", "type": ["gauge"], "value": 1}, "invalid_type"),
        ({"name": "m", "type": "gauge"}, "invalid_value"),
        ({"name": "m", "type": "gauge", "value": "1"}, "invalid_value"),
        ({"name": "m", "type": "gauge", "value": True}, "invalid_value"),
        ({"name": "m", "type": "set", "value": 5}, "invalid_value"),
        ({"name": "m", "type": "set", "value": ""}, "invalid_value"),
        ({"name": "m", "type": "gauge", "value": 1, "timestamp": "soon"}, "invalid_timestamp"),
        ({"name": "m", "type": "gauge", "value": 1, "tags": {"a": []}}, "invalid_tags"),
        ({"name": "m", "type": "gauge", "value": 1, "tags": "a"}, "invalid_tags"),
        ({"name": "a/b", "type": "gauge", "value": 1}, "invalid_request"),
        ({"name": "batch", "type": "gauge", "value": 1}, "invalid_request"),
    ],
)
def test_a_bad_point_is_refused_with_its_code(client: Client, point: dict[str, Any], code: str) -> None:
    response = client.post(METRICS, json=point)
    assert_refused(response, "flux", 400)
    assert response.json()["error"]["code"] == code
    batch = client.post(f"{METRICS}/batch", json=[point, {"name": "ok", "type": "gauge", "value": 1}]).json()["data"]
    assert (batch["accepted"], batch["errors"][0]["index"], batch["errors"][0]["code"]) == (1, 0, code)


def test_a_batch_of_points_over_500_is_refused_whole(client: Client) -> None:
    points = [{"name": "m", "type": "gauge", "value": 1}] * 501
    for path, body in (
        (f"{METRICS}/batch", points),
        (f"{METRICS}/batch", {"metrics": points}),
        (GEM, {"metrics": points}),
    ):
        response = client.post(path, json=body)
        assert_refused(response, "flux", 400)
        assert response.json()["error"]["code"] == "batch_too_large"
    assert client.get(METRICS).json()["data"] == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"7", b'"x"', b"null", b"{}", b'{"metrics":7}', b'{"metrics":"x","events":[]}', b"\xff"]
)
def test_what_is_no_batch_is_refused(client: Client, body: bytes) -> None:
    for path in (f"{METRICS}/batch", GEM):
        response = client.post(path, content=body)
        assert_refused(response, "flux", 400)


@pytest.mark.parametrize(
    "parameters",
    [
        {"aggregation": "median"},
        {"aggregation": "cardinality"},
        {"aggregation": "avg,p51"},
        {"interval": "2h"},
        {"group_by": "tags."},
        {"from": "soon"},
    ],
)
def test_a_malformed_query_is_refused(client: Client, parameters: dict[str, str]) -> None:
    put(client, {"name": "m", "type": "gauge", "value": 1})
    assert_refused(client.get(f"{METRICS}/m/query", params=parameters), "flux", 400)


def test_a_series_of_too_many_buckets_is_refused_and_says_what_to_do(client: Client) -> None:
    for start in range(0, 20_500, 500):
        points = [
            {
                "name": "m",
                "type": "gauge",
                "value": 1,
                "timestamp": f"2024-01-{1 + at // 1440:02}T{at // 60 % 24:02}:{at % 60:02}:00Z",
            }
            for at in range(start, start + 500)
        ]
        put(client, *points)
    response = client.get(f"{METRICS}/m/query", params={"interval": "1m"})
    assert_refused(response, "flux", 400)
    assert "narrow" in response.json()["error"]["message"]
    assert len(query(client, "m", interval="5m")["series"]) == 4100


def test_an_unknown_metric_is_not_found(client: Client) -> None:
    for path in (f"{METRICS}/nothing", f"{METRICS}/nothing/query"):
        assert_refused(client.get(path), "flux", 404)


def test_a_large_integer_keeps_its_digits_as_a_double_does(client: Client) -> None:
    put(client, {"name": "m", "type": "gauge", "value": 2**53})
    assert json.loads(client.get(f"{METRICS}/m/query").text)["data"]["value"] == 2**53
