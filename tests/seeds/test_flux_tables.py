"""The tables of the Flux document: one test per row of each, named after the row."""

from typing import Any

import httpx
import pytest

from headrace.model.times import parse_time
from tests.server import Client, Server

EVENTS = "/api/v1/events"


def track(client: Client, **event: Any) -> dict[str, Any]:
    """Send one event and return it as the API shows it afterwards."""
    response = client.post(EVENTS, json={"name": "n", **event})
    assert response.status_code == 201, response.text
    return client.get(f"{EVENTS}/{response.json()['data']['id']}").json()["data"]


def refused(response: httpx.Response, code: str, status: int = 400) -> bool:
    error = response.json()["error"]
    assert error.keys() == {"code", "message"}
    assert error["message"]
    assert (response.status_code, error["code"]) == (status, code)
    return True


def listed(client: Client, **parameters: Any) -> list[dict[str, Any]]:
    response = client.get(EVENTS, params=parameters)
    assert response.status_code == 200, response.text
    document = response.json()
    assert document["meta"]["total"] >= len(document["data"])
    return document["data"]


def names(rows: list[dict[str, Any]]) -> list[str]:
    return [row["name"] for row in rows]


# Track Event: Parameters


def test_track_name_is_a_required_string(client: Client) -> None:
    assert track(client, name="user.signup")["name"] == "user.signup"
    assert track(client, name="é" * 200)["name"] == "é" * 200
    assert refused(client.post(EVENTS, json={}), "missing_name")
    for name in (None, "", "  "):
        assert refused(client.post(EVENTS, json={"name": name}), "missing_name")
    for name in (1, True, [], {}, "n" * 201):
        assert refused(client.post(EVENTS, json={"name": name}), "invalid_request")


def test_track_timestamp_is_an_iso8601_string_and_defaults_to_now(client: Client) -> None:
    assert track(client, timestamp="2024-01-15T12:30:00.250+02:00")["timestamp"] == "2024-01-15T10:30:00.250Z"
    for absent in ({}, {"timestamp": None}):
        event = track(client, **absent)
        assert abs(parse_time(event["timestamp"]) - parse_time(event["received_at"])) < 60_000
    for wrong in ("yesterday", "", "2024-13-01", 1705314600, True, {}):
        assert refused(client.post(EVENTS, json={"name": "n", "timestamp": wrong}), "invalid_timestamp")


def test_track_user_id_is_an_optional_string(client: Client) -> None:
    assert track(client, user_id="u" * 255)["user_id"] == "u" * 255
    assert track(client)["user_id"] is None
    assert track(client, user_id=None)["user_id"] is None
    for wrong in (1, [], {}, "", "u" * 256):
        assert refused(client.post(EVENTS, json={"name": "n", "user_id": wrong}), "invalid_request")


def test_track_value_is_an_optional_number_that_is_aggregated(client: Client) -> None:
    for value in (29.99, 0, -5, 1e300):
        assert track(client, value=value)["value"] == value
    assert track(client)["value"] is None
    assert track(client, value=None)["value"] is None
    for wrong in ("29.99", True, [], {}):
        assert refused(client.post(EVENTS, json={"name": "n", "value": wrong}), "invalid_request")
    assert client.get(f"{EVENTS}/stats").json()["data"]["count"] == 4


def test_track_properties_is_an_optional_object_of_anything(client: Client) -> None:
    properties = {"b": [1, {"c": None}], "a": 9007199254740993123, "": "é\u0000😀", "f": 1.0}
    shown = track(client, properties=properties)["properties"]
    assert shown == properties
    assert list(shown) == list(properties)
    assert track(client)["properties"] == track(client, properties=None)["properties"] == {}
    for wrong in ([1], "x", 1, True):
        assert refused(client.post(EVENTS, json={"name": "n", "properties": wrong}), "invalid_request")


def test_track_tags_is_an_optional_object_of_strings_to_filter_by(client: Client) -> None:
    assert track(client, tags={"region": "us-east"})["tags"] == {"region": "us-east"}
    assert track(client)["tags"] == track(client, tags=None)["tags"] == {}
    for wrong in ([1], "x", 1, {"a": 1}, {"a": None}, {"a": {}}, {"a": "x" * 201}):
        assert refused(client.post(EVENTS, json={"name": "n", "tags": wrong}), "invalid_tags")
    too_many = {f"k{number}": "v" for number in range(65)}
    assert refused(client.post(EVENTS, json={"name": "n", "tags": too_many}), "invalid_tags")
    assert len(listed(client, **{"tags[region]": "us-east"})) == 1


# List Events: Parameters


def test_list_name_is_exact_or_a_prefix_with_a_star(client: Client) -> None:
    for name in ("user.signup", "user.signup2", "user", "User.signup", "*user"):
        track(client, name=name)
    assert names(listed(client, name="user.signup")) == ["user.signup"]
    assert sorted(names(listed(client, name="user*"))) == ["user", "user.signup", "user.signup2"]
    assert names(listed(client, name="*user*")) == ["*user"]
    assert len(listed(client, name="*")) == len(listed(client)) == 5
    assert listed(client, name="signup") == []


def test_list_from_is_an_inclusive_start(client: Client) -> None:
    track(client, name="before", timestamp="2024-01-01T11:59:59.999Z")
    track(client, name="at", timestamp="2024-01-01T12:00:00Z")
    assert names(listed(client, **{"from": "2024-01-01T12:00:00Z"})) == ["at"]
    assert names(listed(client, **{"from": "2024-01-01"})) == ["at", "before"]
    assert refused(client.get(EVENTS, params={"from": "x"}), "invalid_timestamp")


def test_list_to_is_an_inclusive_end(client: Client) -> None:
    track(client, name="at", timestamp="2024-01-01T12:00:00Z")
    track(client, name="after", timestamp="2024-01-01T12:00:00.001Z")
    track(client, name="tomorrow", timestamp="2024-01-02T00:00:00Z")
    assert names(listed(client, to="2024-01-01T12:00:00Z")) == ["at"]
    assert names(listed(client, to="2024-01-01")) == ["after", "at"]
    assert refused(client.get(EVENTS, params={"to": "x"}), "invalid_timestamp")


def test_list_user_id_filters_by_user(client: Client) -> None:
    track(client, name="a", user_id="user_1")
    track(client, name="b", user_id="user_12")
    track(client, name="c")
    assert names(listed(client, user_id="user_1")) == ["a"]


def test_list_tags_filter_by_tag_and_all_of_them_must_match(client: Client) -> None:
    track(client, name="a", tags={"region": "eu", "plan": "pro"})
    track(client, name="b", tags={"region": "eu", "plan": "free"})
    assert names(listed(client, **{"tags[plan]": "pro"})) == ["a"]
    assert names(listed(client, **{"tags[region]": "eu"})) == ["b", "a"]
    assert names(listed(client, **{"tags[region]": "eu", "tags[plan]": "free"})) == ["b"]
    assert listed(client, **{"tags[plan]": ["pro", "free"]}) == []


def test_list_limit_defaults_to_100_and_stays_within_1_and_1000(client: Client) -> None:
    for _ in range(3):
        events = [{"name": "n"}] * 335
        assert client.post(f"{EVENTS}/batch", json=events).json()["data"]["accepted"] == 335
    for limit, shown in ((None, 100), (0, 1), (-7, 1), (50, 50), (1000, 1000), (5000, 1000)):
        document = client.get(EVENTS, params={} if limit is None else {"limit": limit}).json()
        assert len(document["data"]) == document["meta"]["limit"] == shown
        assert document["meta"]["total"] == 1005
    for wrong in ("ten", "1.5", "1e3", "0x10"):
        assert refused(client.get(EVENTS, params={"limit": wrong}), "invalid_request")


def test_list_offset_skips_events(client: Client) -> None:
    for day in range(1, 6):
        track(client, name=f"day{day}", timestamp=f"2024-01-0{day}")
    document = client.get(EVENTS, params={"limit": 2, "offset": 1}).json()
    assert names(document["data"]) == ["day4", "day3"]
    assert document["meta"] == {"total": 5, "limit": 2, "offset": 1}
    assert listed(client, offset=5) == []
    for wrong in ("-1", "two", "1.5"):
        assert refused(client.get(EVENTS, params={"offset": wrong}), "invalid_request")


# Count Events: Parameters


def total(client: Client, **parameters: Any) -> int:
    response = client.get(f"{EVENTS}/count", params=parameters)
    assert response.json().keys() == {"data"}
    assert response.json()["data"].keys() == {"total"}
    return response.json()["data"]["total"]


def test_count_name_filters_by_name(client: Client) -> None:
    track(client, name="user.signup")
    track(client, name="user.login")
    assert total(client) == 2
    assert total(client, name="user.signup") == 1
    assert total(client, name="user.*") == 2
    assert total(client, name="x") == 0


def test_count_from_is_an_inclusive_start(client: Client) -> None:
    track(client, timestamp="2024-01-01T00:00:00Z")
    track(client, timestamp="2023-12-31T23:59:59.999Z")
    assert total(client, **{"from": "2024-01-01"}) == 1
    assert refused(client.get(f"{EVENTS}/count", params={"from": "x"}), "invalid_timestamp")


def test_count_to_is_an_inclusive_end(client: Client) -> None:
    track(client, timestamp="2024-01-31T23:59:59.999Z")
    track(client, timestamp="2024-02-01T00:00:00Z")
    assert total(client, to="2024-01-31") == 1
    assert total(client, to="2024-01-31T23:59:59Z") == 0
    assert refused(client.get(f"{EVENTS}/count", params={"to": "x"}), "invalid_timestamp")


@pytest.mark.parametrize(
    ("interval", "starts"),
    [
        ("1m", ["10:07:00", "10:08:00", "10:59:00"]),
        ("5m", ["10:05:00", "10:55:00"]),
        ("1h", ["10:00:00"]),
        ("1d", ["00:00:00"]),
    ],
)
def test_count_interval_gives_a_series(client: Client, interval: str, starts: list[str]) -> None:
    for time in ("10:07:59.999", "10:08:00", "10:08:01", "10:59:59"):
        track(client, timestamp=f"2024-01-15T{time}Z")
    data = client.get(f"{EVENTS}/count", params={"interval": interval}).json()["data"]
    assert data.keys() == {"total", "series"}
    assert [bucket["timestamp"] for bucket in data["series"]] == [f"2024-01-15T{each}Z" for each in starts]
    assert sum(bucket["count"] for bucket in data["series"]) == data["total"] == 4


def test_count_interval_is_one_of_a_few(client: Client) -> None:
    for wrong in ("2h", "1y", "60", "1m "):
        assert refused(client.get(f"{EVENTS}/count", params={"interval": wrong}), "invalid_request")


@pytest.mark.parametrize("key", ["tags.plan", "plan"])
def test_count_group_by_groups_by_a_tag(client: Client, key: str) -> None:
    for plan in ("free", "pro", "free"):
        track(client, tags={"plan": plan})
    track(client)
    data = client.get(f"{EVENTS}/count", params={"group_by": key}).json()["data"]
    assert data == {"total": 4, "groups": {"free": 2, "pro": 1}}
    assert list(data["groups"]) == ["free", "pro"]


# Event Stats: Parameters


def stats(client: Client, **parameters: Any) -> dict[str, Any]:
    document = client.get(f"{EVENTS}/stats", params=parameters).json()
    assert document.keys() == {"data"}
    assert list(document["data"]) == ["count", "sum", "avg", "min", "max", "p50", "p95", "p99"]
    return document["data"]


def test_stats_name_filters_by_name(client: Client) -> None:
    track(client, name="order.placed", value=10)
    track(client, name="order.refunded", value=1)
    assert stats(client, name="order.placed")["sum"] == 10
    assert stats(client, name="order.*")["sum"] == 11
    assert stats(client, name="x") == {
        "count": 0,
        "sum": 0,
        "avg": None,
        "min": None,
        "max": None,
        "p50": None,
        "p95": None,
        "p99": None,
    }


def test_stats_field_defaults_to_value(client: Client) -> None:
    track(client, value=10, properties={"amount": 3, "note": "4"})
    track(client, value=30, properties={"amount": 4.5})
    track(client, properties={"amount": "5"})
    assert stats(client) == stats(client, field="value")
    assert stats(client)["avg"] == stats(client)["p50"] == 20
    assert stats(client)["p95"] == pytest.approx(29)  # interpolated
    for field in ("properties.amount", "amount"):
        assert stats(client, field=field)["sum"] == 7.5
        assert stats(client, field=field)["count"] == 2
    assert stats(client, field="note")["count"] == 0
    assert refused(client.get(f"{EVENTS}/stats", params={"field": "properties."}), "invalid_request")


def test_stats_from_is_an_inclusive_start(client: Client) -> None:
    track(client, value=1, timestamp="2023-12-31T23:59:59.999Z")
    track(client, value=2, timestamp="2024-01-01")
    assert stats(client, **{"from": "2024-01-01"})["sum"] == 2
    assert refused(client.get(f"{EVENTS}/stats", params={"from": "x"}), "invalid_timestamp")


def test_stats_to_is_an_inclusive_end(client: Client) -> None:
    track(client, value=1, timestamp="2024-01-31T23:59:59.999Z")
    track(client, value=2, timestamp="2024-02-01")
    assert stats(client, to="2024-01-31")["sum"] == 1
    assert refused(client.get(f"{EVENTS}/stats", params={"to": "x"}), "invalid_timestamp")


# Errors; `rate_limited` is in test_flux_rate_limits.py, `unavailable` in ../http/test_lifecycle.py


def test_missing_name_says_that_the_name_is_required(client: Client) -> None:
    assert refused(client.post(EVENTS, json={"user_id": "u"}), "missing_name")
    [error] = client.post(f"{EVENTS}/batch", json=[{"user_id": "u"}]).json()["data"]["errors"]
    assert (error["index"], error["code"]) == (0, "missing_name")


def test_invalid_timestamp_says_that_the_format_is_invalid(client: Client) -> None:
    event = {"name": "n", "timestamp": "15/01/2024"}
    assert refused(client.post(EVENTS, json=event), "invalid_timestamp")
    [error] = client.post(f"{EVENTS}/batch", json=[event]).json()["data"]["errors"]
    assert (error["index"], error["code"]) == (0, "invalid_timestamp")


def test_batch_too_large_says_that_a_batch_exceeds_500_events(client: Client) -> None:
    events = [{"name": "n"}] * 500
    for body in (events, {"events": events}):
        assert client.post(f"{EVENTS}/batch", json=body).json()["data"]["accepted"] == 500
    for body in ([*events, {"name": "n"}], {"events": [*events, {"name": "n"}]}):
        assert refused(client.post(f"{EVENTS}/batch", json=body), "batch_too_large")
    assert total(client) == 1000


def test_invalid_tags_says_that_tags_must_be_strings(client: Client) -> None:
    event = {"name": "n", "tags": {"plan": 1}}
    assert refused(client.post(EVENTS, json=event), "invalid_tags")
    [error] = client.post(f"{EVENTS}/batch", json=[event]).json()["data"]["errors"]
    assert (error["index"], error["code"]) == (0, "invalid_tags")


def test_a_batch_stores_the_good_events_and_names_the_bad_ones(client: Client) -> None:
    events = [{"name": "a"}, {}, {"name": "b"}, {"name": "c", "tags": [1]}, 7]
    response = client.post(f"{EVENTS}/batch", json={"events": events})
    assert response.status_code == 201
    data = response.json()["data"]
    assert data.keys() == {"accepted", "rejected", "errors"}
    assert (data["accepted"], data["rejected"]) == (2, 3)
    assert [(each["index"], each["code"]) for each in data["errors"]] == [
        (1, "missing_name"),
        (3, "invalid_tags"),
        (4, "invalid_request"),
    ]
    assert all(each.keys() == {"index", "code", "message"} for each in data["errors"])
    assert sorted(names(listed(client))) == ["a", "b"]


def test_a_batch_in_which_all_are_bad_is_answered_like_one_in_which_some_are(client: Client) -> None:
    response = client.post(f"{EVENTS}/batch", json=[{}, {}])
    assert response.status_code == 201
    data = response.json()["data"]
    assert (data["accepted"], data["rejected"], len(data["errors"])) == (0, 2, 2)


def test_the_other_codes_are_those_of_the_contract(server: Server, client: Client, project: str) -> None:
    assert refused(client.post(EVENTS, content=b"{"), "invalid_request")
    assert refused(client.post(f"{EVENTS}/batch", json=[]), "invalid_request")
    assert refused(client.post(f"{EVENTS}/batch", json={"events": []}), "invalid_request")
    assert refused(client.get(f"{EVENTS}/evt_{'0' * 32}"), "not_found", 404)
    assert refused(client.get("/api/v1/nothing"), "not_found", 404)
    large = {"name": "n", "properties": {"p": "x" * 262_144}}
    assert refused(client.post(EVENTS, json=large), "payload_too_large", 413)
    with server.client() as nobody, server.client("sk_live_unknown") as stranger:
        assert refused(nobody.get(EVENTS), "missing_api_key", 401)
        assert refused(stranger.get(EVENTS), "invalid_api_key", 401)
    with server.client(server.key(project, style="solute")) as sender:
        assert refused(sender.get(EVENTS), "forbidden", 403)
