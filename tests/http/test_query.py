"""Questions of events over HTTP: what they answer in the very next request, and how bad ones are refused."""

from typing import Any

import pytest

from tests.server import Client

DAY = "2025-01-15T{}:00:00Z"


def ask(client: Client, **question: Any) -> Any:
    reply = client.post("/api/v1/query", json=question)
    assert reply.status_code == 200, reply.text
    return reply.json()


def of(name: str) -> list[dict[str, Any]]:
    return [{"field": "name", "value": name}]


def track(client: Client, name: str, user: str = "u", hour: int = 10, **fields: Any) -> None:
    body = {"name": name, "user_id": user, "timestamp": DAY.format(f"{hour:02d}")} | fields
    assert client.post("/api/v1/events", json=body).status_code == 201


def test_a_question_counts_groups_and_buckets_what_was_acknowledged_before_it(client: Client) -> None:
    track(client, "q.order", "u", 10, properties={"plan": "pro", "cart": {"total": 5}}, service="web")
    track(client, "q.order", "v", 23, properties={"plan": "pro", "cart": {"total": 7.5}})
    track(client, "q.order", "v", 23, properties={"cart": {"total": "7.5"}})
    found = ask(client, filters=of("q.order"), breakdown=["properties.plan"], interval="1d", tz="Europe/Berlin")
    days = [{"timestamp": "2025-01-14T23:00:00Z", "value": 1}, {"timestamp": "2025-01-15T23:00:00Z", "value": 1}]
    assert found == {
        "data": {
            "value": 3,
            "series": [days[0], days[1] | {"value": 2}],
            "groups": [
                {"key": ["pro"], "value": 2, "series": days},
                {"key": [None], "value": 1, "series": days[1:]},
            ],
        },
        "meta": {"from": None, "to": None, "truncated": False, "merged": True, "exact": True},
    }
    total = ask(client, measure="sum", field="properties.cart.total", filters=of("q.order"), limit=1)
    assert total["data"] == {"value": 12.5}
    services = ask(client, filters=of("q.order"), breakdown=["service", ["properties", "cart", "total"]])
    assert [group["key"] for group in services["data"]["groups"]] == [[None, "7.5"], ["web", "5"]]


def test_a_merged_person_counts_once(client: Client) -> None:
    events = [
        {"type": "track", "event": "q.visit", "anonymousId": "q-anon", "timestamp": DAY.format("08")},
        {"type": "track", "event": "q.visit", "userId": "q-other", "timestamp": DAY.format("08")},
        {"type": "track", "event": "q.visit", "userId": "q-user", "timestamp": DAY.format("09")},
        {"type": "identify", "userId": "q-user", "anonymousId": "q-anon", "timestamp": DAY.format("09")},
    ]
    assert client.post("/v1/batch", json={"batch": events}).status_code == 200
    assert ask(client, measure="users", filters=of("q.visit"))["data"] == {"value": 2}
    assert ask(client, measure="per_user", filters=of("q.visit"))["data"] == {"value": 1.5}
    by_person = ask(client, filters=of("q.visit"), breakdown=["person"])["data"]["groups"]
    assert by_person == [{"key": ["q-user"], "value": 2}, {"key": ["q-other"], "value": 1}]
    whole = [*of("q.visit"), {"field": "person", "value": "q-anon"}]
    assert ask(client, filters=whole)["data"] == {"value": 2}


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ({"intervall": "1d"}, "has no member 'intervall': did you mean 'interval'?"),
        ({"measure": "user"}, "'measure' is 'user': did you mean 'users'?"),
        ({"measure": "sum"}, "'field' is required for sum"),
        ({"field": "value"}, "'field' has no meaning for count"),
        ({"measure": "sum", "field": "name"}, "'field' must be a number"),
        ({"interval": "1y"}, "'interval' is '1y'"),
        ({"tz": "Mars"}, "'tz' must be an IANA time zone"),
        ({"from": "yesterday"}, "'from' is 'yesterday'"),
        ({"limit": 0}, "'limit' must be 1 to 1000"),
        ({"breakdown": ["name", "type", "host", "source"]}, "'breakdown' has 4 fields; the limit is 3"),
        ({"breakdown": ["name", ["name"]]}, "'breakdown' has a field twice"),
        ({"breakdown": ["value"]}, "'breakdown' cannot be by value"),
        ({"breakdown": ["hosts"]}, "'hosts', which is not a field: did you mean 'host'?"),
        ({"breakdown": ["property.plan"]}, "must name a properties"),
        ({"breakdown": ["properties." + "a." * 10 + "a"]}, "goes more than 10 properties deep"),
        ({"filters": [{"value": 1}]}, "'filters[0]' lacks 'field'"),
        ({"filters": [{"field": "name", "opp": "="}]}, "has no member 'opp'"),
        ({"filters": [{"field": "name", "op": "~", "value": "x"}]}, "must be one of = != in"),
        (
            {"filters": [{"field": "name", "op": ">", "value": 1}]},
            "must be one of = != in exists contains for this field",
        ),
        ({"filters": [{"field": "name", "value": 5}]}, "must be a string"),
        ({"filters": [{"field": "name", "value": ""}]}, "use exists with false"),
        ({"filters": [{"field": "name"}]}, "is required"),
        ({"filters": [{"field": "properties.a", "op": ">", "value": "5"}]}, "must be a number"),
        ({"filters": [{"field": "properties.a", "op": "in", "value": "5"}]}, "must be an array of values"),
        ({"filters": [{"field": "properties.a", "op": "in", "value": ["x"] * 101}]}, "the limit is 100"),
        ({"filters": [{"field": "properties.a", "value": "x" * 1001}]}, "the limit is 1000"),
        ({"filters": [{"field": "properties.a", "value": 10**400}]}, "must fit into a double"),
        ({"filters": [{"field": "properties.a", "op": "exists", "value": 1}]}, "must be true or false for exists"),
        ({"filters": [{"field": "person", "op": "in", "value": ["x"] * 11}]}, "the limit is 10"),
        ({"filters": [{"field": "name", "value": "x"}] * 21}, "'filters' has 21 entries; the limit is 20"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_bad_question_is_refused_with_what_to_send(client: Client, question: Any, says: str) -> None:
    reply = client.post("/api/v1/query", json=question)
    assert reply.status_code == 400, reply.text
    assert says in reply.json()["detail"]


def test_a_question_needs_a_body_that_is_not_too_large(client: Client) -> None:
    assert client.post("/api/v1/query", content=b"").status_code == 400
    assert client.post("/api/v1/query", content=b"[]").status_code == 400
    assert client.post("/api/v1/query", content=b" " * (64 * 1024 + 1)).status_code == 413


def people(client: Client, what: str, **question: Any) -> Any:
    reply = client.post(f"/api/v1/query/{what}", json=question)
    assert reply.status_code == 200, reply.text
    return reply.json()


def test_a_funnel_shows_how_many_people_go_how_far_and_how_long_that_takes(client: Client) -> None:
    for user, hours in (("f-a", (10, 12)), ("f-b", (10,)), ("f-c", (11,))):
        for name, hour in zip(("f.visit", "f.buy"), hours, strict=False):
            track(client, name, user, hour, service="web" if user == "f-a" else "app")
    steps = [{"event": "f.visit"}, {"event": "f.buy", "filters": [{"field": "user_id", "op": "!=", "value": "x"}]}]
    found = people(client, "funnel", steps=steps, breakdown=["service"], window="3h")
    half = {"users": 1, "conversion": 1 / 3, "average_seconds": 7200, "median_seconds": 7200}
    first = {"users": 3, "conversion": 1, "average_seconds": 0, "median_seconds": 0}
    nobody = {"users": 0, "conversion": 0, "average_seconds": None, "median_seconds": None}
    assert found["data"] == {
        "steps": [first, half],
        "groups": [
            {"key": ["app"], "steps": [first | {"users": 2}, nobody]},
            {"key": ["web"], "steps": [first | {"users": 1}, half | {"conversion": 1}]},
        ],
    }
    assert found["meta"] == {"from": None, "to": None, "truncated": False, "merged": True}
    nothing = people(client, "funnel", steps=[{"event": "f.none"}, {"event": "f.buy"}])["data"]["steps"]
    assert nothing == 2 * [nobody | {"conversion": None}]


def test_retention_shows_who_comes_back_in_the_periods_that_have_begun(client: Client) -> None:
    for user, day in (("r-a", 13), ("r-a", 22), ("r-b", 14), ("r-b", 15)):
        body = {"name": "r.visit", "user_id": user, "timestamp": f"2025-01-{day}T12:00:00Z"}
        assert client.post("/api/v1/events", json=body).status_code == 201
    found = people(client, "retention", first={"event": "r.visit"}, to="2025-01-31", tz="Europe/Berlin")
    cohort = {"start": "2025-01-12T23:00:00Z", "users": 2, "returned": [1, 1, 0]}
    assert found["data"] == {"cohorts": [cohort]}
    assert found["meta"] == {"from": None, "to": "2025-01-31T22:59:59.999Z", "merged": True}


def test_paths_show_what_follows_an_event_and_what_comes_before_it(client: Client) -> None:
    for name, hour in (("p.a", 8), ("p.b", 9), ("p.c", 10), ("p.d", 20)):
        track(client, name, "p-u", hour)
    mine = [{"field": "name", "op": "contains", "value": "p."}, {"field": "user_id", "value": "p-u"}]
    found = people(client, "paths", start={"event": "p.a"}, window="2h", filters=mine)
    assert found["data"] == {
        "starts": 1,
        "users": 1,
        "paths": [{"path": ["p.b"], "count": 1, "users": 1}, {"path": ["p.b", "p.c"], "count": 1, "users": 1}],
    }
    before = people(client, "paths", start={"event": "p.c"}, direction="before", steps=1, filters=mine)
    assert [path["path"] for path in before["data"]["paths"]] == [["p.b"]]


@pytest.mark.parametrize(
    ("what", "question", "says"),
    [
        ("funnel", {}, "'steps' must be an array of 1 to 10 steps; it has 0"),
        ("funnel", {"steps": [{}]}, "'steps[0]' has neither 'event' nor 'filters'"),
        ("funnel", {"steps": [{"name": "x"}]}, "'steps[0]' has no member 'name'"),
        ("funnel", {"steps": [{"event": "x"}] * 11}, "it has 11"),
        ("funnel", {"steps": [{"event": "x"}], "window": "1y"}, "'window' must be a span"),
        ("funnel", {"steps": [{"event": "x"}], "window": "0d"}, "'window' must be at most 366d"),
        ("funnel", {"steps": [{"event": "x"}], "order": "any"}, "'order' is 'any'"),
        ("funnel", {"steps": [{"event": "x"}], "breakdown": ["person"]}, "cannot be by person"),
        ("retention", {}, "'first' is required"),
        ("retention", {"first": {"event": "x"}, "period": "year"}, "'period' is 'year'"),
        ("retention", {"first": {"event": "x"}, "periods": 101}, "'periods' must be 1 to 100"),
        ("retention", {"first": {"event": "x"}, "limt": 1}, "has no member 'limt'"),
        ("paths", {}, "'start' is required"),
        ("paths", {"start": {"event": "x"}, "steps": 6}, "'steps' must be 1 to 5"),
        ("paths", {"start": {"event": "x"}, "direction": "up"}, "'direction' is 'up'"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_a_bad_question_about_people_is_refused_with_what_to_send(
    client: Client, what: str, question: Any, says: str
) -> None:
    reply = client.post(f"/api/v1/query/{what}", json=question)
    assert reply.status_code == 400, reply.text
    assert says in reply.json()["detail"]
