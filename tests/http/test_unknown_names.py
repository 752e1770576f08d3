"""Asked and not ignored: parameters and members that nobody knows, that are said twice, or that mean nothing together."""

from typing import Any

import pytest

from headrace.http.docs import document
from tests.http.conftest import MakeServer
from tests.openapi.validator import resolved
from tests.server import Client

FLUX = "/api/v1/events"
HOGSEND = "/v1/admin/events"
REPLAY = f"{HOGSEND}/replay"


def _error(answer: Any) -> str:
    """What a refusal says, in whichever dialect."""
    assert answer.status_code == 400, answer.text
    document = answer.json()
    error = document.get("error", document)
    return error["message"] if isinstance(error, dict) and "message" in error else document.get("detail") or error


@pytest.mark.parametrize(
    ("path", "query", "nearest"),
    [
        (FLUX, "user=zzz", "user_id"),
        (FLUX, "nmae=x", "name"),
        (FLUX, "userId=x", "user_id"),
        (FLUX, "tag[plan]=pro", "tags[…]"),
        (FLUX, "tags.plan=pro", "tags[…]"),
        (FLUX, "form=2024-01-01", "from"),
        (FLUX, "page=2", ""),
        (FLUX, "api_key=sk", ""),
        (f"{FLUX}/count", "intervals=1d", "interval"),
        (f"{FLUX}/count", "groupBy=plan", "group_by"),
        (f"{FLUX}/count", "field=value", f"{FLUX}/stats has it"),
        (f"{FLUX}/count", "limit=5", f"{FLUX} has it"),
        (f"{FLUX}/stats", "interval=1d", f"{FLUX}/count has it"),
        (f"{FLUX}/stats", "group_by=plan", f"{FLUX}/count has it"),
        (f"{FLUX}/stats", "fields=value", "field"),
        (HOGSEND, "user_id=x", "userId"),
        (HOGSEND, "name=x", ""),
        (HOGSEND, "page=2", ""),
        (f"{HOGSEND}/sources", "limits=5", ""),
        (REPLAY.replace("events/replay", "replays"), "state=done", ""),
        ("/api/v1/catalog", "searched=x", "search"),
        ("/api/v1/catalog", "offset=5", ""),
        ("/api/v1/metrics", "name=x", ""),
        ("/api/v1/challenges", "limit=5", ""),
        (f"{FLUX}/evt_0197a6b2c4d07e8f8000000000000001", "fields=name", ""),
    ],
)
def test_an_unknown_parameter_is_refused_with_the_nearest_name(
    client: Client, path: str, query: str, nearest: str
) -> None:
    message = _error(client.get(f"{path}?{query}"))
    assert repr(query.partition("=")[0]) in message
    assert nearest in message
    assert client.get(f"{path}?{query.partition('=')[0]}=").status_code in (200, 404), "an empty one says nothing"


def test_nobody_without_a_key_is_told_of_parameters(client: Client) -> None:
    assert client.get(f"{FLUX}?nmae=x", headers={"Authorization": "Bearer wrong"}).status_code == 401


@pytest.mark.parametrize(
    ("path", "query", "about"),
    [
        (f"{FLUX}/count", "group_by=plan&group_by=region", "group_by"),
        (f"{FLUX}/count", "interval=1d&interval=1h", "interval"),
        (FLUX, "user_id=a&user_id=b", "user_id"),
        (HOGSEND, "event=a&event=b", "event"),
        (f"{FLUX}/stats", "field=value&field=amount", "field"),
    ],
)
def test_a_parameter_with_two_values_is_refused(client: Client, path: str, query: str, about: str) -> None:
    assert f"'{about}' is given twice" in _error(client.get(f"{path}?{query}"))


@pytest.mark.parametrize(
    ("path", "query"),
    [
        (FLUX, "name=a&name=a"),
        (FLUX, "name=&name=a"),
        (FLUX, "tags[a]=1&tags[a]=2&tags[b]=&properties[x]=1"),
        (f"{FLUX}/count", "tags[plan]=pro&group_by=tags.plan&interval=1d&fill=true&tz=UTC"),
        ("/api/v1/metrics/m/query", "aggregation=p50&aggregations=p95&interval=1h&group_by=tags.a&tz=UTC"),
    ],
)
def test_what_is_known_is_let_through(client: Client, path: str, query: str) -> None:
    assert client.get(f"{path}?{query}").status_code in (200, 404)


@pytest.mark.parametrize(
    ("path", "query", "reason"),
    [
        (f"{FLUX}/count", "fill=true", "interval"),
        (FLUX, "cursor=&offset=5", "offset"),
        (FLUX, "limit=%2B5", "whole number"),
        (FLUX, "limit=+5", "whole number"),
        (FLUX, "offset=%2B5", "whole number"),
        (HOGSEND, "limit=%2B5", "whole number"),
        ("/api/v1/catalog", "limit=%2B5", "whole number"),
        (FLUX, "tz=localtime", "IANA"),
        (f"{FLUX}/count", "interval=1d&tz=Factory", "IANA"),
        (HOGSEND, "tz=localtime", "IANA"),
    ],
)
def test_what_means_nothing_is_refused_with_a_reason(client: Client, path: str, query: str, reason: str) -> None:
    assert reason in _error(client.get(f"{path}?{query}"))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"filter": {"event": "a", "form": "2024-01-01"}}, "did you mean 'from'?"),
        ({"filter": {"event": "a", "user_id": "u"}}, "did you mean 'userId'?"),
        ({"filter": {"event": "a", "name": "u"}}, "known are event, from, source, to, userId."),
        ({"filter": {"event": "a"}, "dryrun": True}, "did you mean 'dryRun'?"),
        ({"filter": {"event": "a"}, "dry_run": True}, "did you mean 'dryRun'?"),
        ({"event_ids": ["a"]}, "did you mean 'eventIds'?"),
        ({"eventIds": ["a"], "limits": 5}, "did you mean 'limit'?"),
        ({"eventIds": ["a"], "from": "2024-01-01"}, "known are"),
    ],
)
def test_a_replays_body_has_no_member_that_nobody_knows(client: Client, body: Any, said: str) -> None:
    assert said in _error(client.post(REPLAY, json=body))


def test_a_cursor_belongs_to_its_filters(client: Client) -> None:
    client.post(f"{FLUX}/batch", json=[{"name": f"n{number}", "user_id": "u"} for number in range(4)])
    first = client.get(f"{FLUX}?user_id=u&tags[a]=&cursor=&limit=1").json()
    assert first["meta"]["total"] == 0
    first = client.get(f"{FLUX}?user_id=u&since=1d&cursor=&limit=1").json()
    cursor = first["meta"]["next_cursor"]
    second = client.get(f"{FLUX}?since=1d&limit=2&user_id=u&cursor={cursor}")
    assert len(second.json()["data"]) == 2, "in any order, and with another limit"
    for query in ("", "user_id=v&since=1d&", "user_id=u&since=2d&", "user_id=u&since=1d&tags[a]=&", "user_id=u&"):
        assert "other filters" in _error(client.get(f"{FLUX}?{query}cursor={cursor}"))

    of_names = client.get("/api/v1/catalog?name=n*&limit=1").json()["meta"]["next_cursor"]
    rest = client.get(f"/api/v1/catalog?name=n*&limit=5&cursor={of_names}").json()
    assert [entry["name"] for entry in rest["data"]] == ["n1", "n2", "n3"]
    for query in ("", "name=n1*&", "search=n&", "name=n&"):
        assert "other filters" in _error(client.get(f"/api/v1/catalog?{query}cursor={of_names}"))


def test_a_field_of_the_events_own_may_be_grouped_by(client: Client) -> None:
    events: list[dict[str, Any]] = [
        {"name": "n", "service": "api", "environment": "prod", "host": "h1", "session_id": "s"},
        {"name": "n", "service": "api", "tags": {"service": "web", "environment": "staging"}},
        {"name": "n", "properties": {"source": "google_ads", "type": "click"}},
    ]
    client.post(f"{FLUX}/batch", json=events)
    for field, groups in {
        "service": {"api": 1, "web": 1},
        "environment": {"prod": 1, "staging": 1},
        "host": {"h1": 1},
        "session_id": {"s": 1},
        "source": {"flux": 2, "google_ads": 1},
        "type": {"track": 2, "click": 1},
        "tags.service": {"web": 1},
        "tags.source": {"google_ads": 1},
    }.items():
        answer = client.get(f"{FLUX}/count?name=n&group_by={field}").json()["data"]
        assert answer == {"total": 3, "groups": groups}, field


def test_a_setting_lets_unknown_parameters_pass_but_never_in_a_replays_body(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_UNKNOWN_PARAMETERS": "ignore"})
    with server.client("secret") as client:
        client.post(FLUX, json={"name": "n"})
        assert client.get(f"{FLUX}?nmae=x&name=m&name=n").json()["meta"]["total"] == 1
        assert "did you mean 'from'?" in _error(client.post(REPLAY, json={"filter": {"event": "n", "form": "x"}}))


def test_every_parameter_of_the_document_is_known_to_its_route(client: Client) -> None:
    """Else a route would refuse what its own description offers."""
    for path, operations in resolved(document())["paths"].items():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter["in"] != "query" or not path.startswith(("/api/v1", "/v1/admin")):
                continue
            name = parameter["name"] + ("[k]" if parameter.get("style") == "deepObject" else "")
            if path == "/api/v1/live":  # a tail, which never ends: tests/http/test_live.py
                continue
            filled = path.replace("{metric}", "m").replace("{id}", "x").replace("{name}", "x")
            answer = client.get(f"{filled}?{name}=1")
            assert "There is no parameter" not in answer.text, (path, name)
