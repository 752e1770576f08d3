"""People and groups over HTTP: sent as other vendors' SDKs send them, read in the very next request."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.http.conftest import MakeServer
from tests.server import Client


def send(client: Client, *items: dict[str, Any]) -> None:
    reply = client.post("/v1/batch", json={"batch": list(items)})
    assert reply.status_code == 200, reply.text


def track(name: str, user: str = "", anonymous: str = "", at: str = "2025-01-15T10:30:00Z") -> dict[str, Any]:
    return {"type": "track", "event": name, "userId": user, "anonymousId": anonymous, "timestamp": at}


def identify(user: str, anonymous: str = "", **traits: Any) -> dict[str, Any]:
    fields = {"type": "identify", "userId": user, "anonymousId": anonymous, "traits": traits}
    return fields | {"timestamp": "2025-01-15T11:00:00Z"}


def data(client: Client, path: str, **params: Any) -> Any:
    reply = client.get(path, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()["data"]


def of(user: str) -> str:
    return f"/api/v1/users/{quote(user, safe='')}"


def names(client: Client, user: str) -> list[str]:
    return [event["name"] for event in data(client, f"{of(user)}/events")]


def test_anonymous_history_becomes_the_users_in_the_next_request(client: Client) -> None:
    send(client, track("visited", anonymous="anon"))
    send(client, identify("u", "anon", email="ada@x.se"), track("bought", user="u", at="2025-01-16T00:00:00Z"))
    person = data(client, of("anon"))
    assert (person["id"], person["ids"], person["traits"]) == ("u", ["u", "anon"], {"email": "ada@x.se"})
    assert (person["first_seen"], person["last_seen"]) == ("2025-01-15T10:30:00.000Z", "2025-01-16T00:00:00.000Z")
    assert person["events"] == 3
    assert [(each["name"], each["count"]) for each in person["names"]] == [
        *[("bought", 1), ("user.identified", 1), ("visited", 1)]
    ]
    assert set(person["participant"]) == {"facts", "challenges", "badges", "level", "next_level", "points"}
    assert names(client, "u") == ["bought", "user.identified", "visited"]


def test_hogsends_filters_and_merged_flux_queries_cover_the_whole_person(client: Client) -> None:
    send(client, track("h.visited", anonymous="h-anon"), track("h.other", user="h-other", anonymous="h-anon"))
    send(client, identify("h-u", "h-anon"))
    found = client.get("/v1/admin/events", params={"userId": "h-u"}).json()
    assert (found["total"], [each["event"] for each in found["events"]]) == (2, ["user.identified", "h.visited"])
    replayed = client.post("/v1/admin/events/replay", json={"filter": {"userId": "h-anon"}}).json()
    assert replayed == {"replayed": 2, "errors": []}
    for path, count in (("/api/v1/events", "meta"), ("/api/v1/events/count", "data")):
        params = {"user_id": "h-u"}
        assert client.get(path, params=params).json()[count]["total"] == 1
        assert client.get(path, params=params | {"merged": "true"}).json()[count]["total"] == 2
    assert client.get("/api/v1/events", params={"merged": "yes"}).status_code == 400


def test_a_merge_is_undone_and_history_goes_back_where_it_was(client: Client) -> None:
    send(client, track("m.a", anonymous="m-anon"), identify("m-u", "m-anon", plan="free"), track("m.u", user="m-u"))
    send(client, identify("m-v"), {"type": "alias", "userId": "m-v", "previousId": "m-u"})
    assert len(names(client, "m-v")) == 5
    rows = client.delete("/api/v1/users/m-v/aliases/m-u").json()["data"]
    assert [(row["id"], row["ids"], row["events"]) for row in rows] == [
        ("m-v", ["m-v"], 2),
        ("m-u", ["m-u", "m-anon"], 3),
    ]
    assert sorted(names(client, "m-anon")) == ["m.a", "m.u", "user.identified"]
    assert client.delete("/api/v1/users/m-v/aliases/m-u").status_code == 404
    assert client.delete("/api/v1/users/m-u/aliases/m-anon").status_code == 200
    assert names(client, "m-anon") == ["m.a"]


@pytest.mark.parametrize(
    "odd", ["a/b", "/", "a%2Fb", "50%", "a b/", "?x=1", "é/😀", "events", "x/events", "..%2F", "+"]
)
def test_any_id_finds_its_person(client: Client, odd: str) -> None:
    send(client, track("o.visited", anonymous=f"{odd}-"), identify(odd, f"{odd}-"))
    assert data(client, of(odd))["ids"] == [odd, f"{odd}-"]
    assert len(names(client, odd)) == 2
    assert client.delete(f"{of(odd)}/aliases/{quote(f'{odd}-', safe='')}").status_code == 200
    assert data(client, of(odd))["ids"] == [odd]
    group = {"type": "group", "userId": odd, "groupId": odd}
    send(client, group)
    assert data(client, f"/api/v1/groups/group/{quote(odd, safe='')}")["key"] == odd


def test_people_are_searched_and_paged(client: Client) -> None:
    send(client, *(identify(f"page-{number}", email=f"P{number}@page.se") for number in range(5)))
    first = client.get("/api/v1/users", params={"search": "page-", "limit": 2}).json()
    assert [row["id"] for row in first["data"]] == ["page-4", "page-3"]
    params = {"search": "page-", "limit": 2, "cursor": first["meta"]["next_cursor"]}
    second = client.get("/api/v1/users", params=params).json()
    assert [row["id"] for row in second["data"]] == ["page-2", "page-1"]
    assert [row["id"] for row in data(client, "/api/v1/users", search="p3@PAGE")] == ["page-3"]
    assert client.get("/api/v1/users", params=params | {"search": "x"}).status_code == 400


def test_a_history_is_paged_without_gaps_or_repeats(client: Client) -> None:
    send(client, *(track(f"e{number}", anonymous="long-a") for number in range(3)))
    send(client, *(track(f"e{number}", user="long-u") for number in range(3, 6)), identify("long-u", "long-a"))
    found: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(f"{of('long-u')}/events", params={"limit": 2, "cursor": cursor}).json()
        found += [event["name"] for event in page["data"]]
        assert page["meta"]["total"] == 7
        cursor = page["meta"]["next_cursor"]
    assert sorted(found) == ["e0", "e1", "e2", "e3", "e4", "e5", "user.identified"]


def test_somebody_of_whom_nothing_was_said_is_found_by_events_alone(client: Client) -> None:
    assert client.post("/api/v1/events", json={"name": "plain", "user_id": "plain-u"}).status_code == 201
    person = data(client, of("plain-u"))
    assert (person["ids"], person["traits"], person["events"]) == (["plain-u"], {}, 1)
    assert names(client, "plain-u") == ["plain"]
    assert data(client, "/api/v1/users", search="plain-u") == []


def test_a_group_shows_its_traits_and_how_many_are_in_it(client: Client) -> None:
    event: dict[str, Any] = {
        "event": "$groupidentify",
        "distinct_id": "g-u",
        "api_key": client.headers["Authorization"][7:],
    }
    event["properties"] = {"$group_type": "company", "$group_key": "g/1", "$group_set": {"size": 3}}
    assert client.post("/capture", json=event).status_code == 200
    assert data(client, "/api/v1/groups/company/g%2F1") == {
        "type": "company",
        "key": "g/1",
        "traits": {"size": 3},
        "users": 1,
    }
    assert data(client, of("g-u"))["groups"] == [{"type": "company", "key": "g/1"}]


@pytest.mark.parametrize("path", ["/api/v1/users/nobody", "/api/v1/users/nobody/events", "/api/v1/groups/a/b"])
def test_who_is_unknown_is_not_found(client: Client, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/api/v1/users", {"limit": "0"}),
        ("/api/v1/users", {"search": "x" * 201}),
        ("/api/v1/users", {"cursor": "x"}),
        ("/api/v1/users", {"offset": "1"}),
        ("/api/v1/users/u/events", {"limit": "101"}),
        ("/api/v1/users/u/events", {"cursor": "MTIu"}),
        ("/api/v1/users/u", {"limit": "1"}),
    ],
)
def test_a_bad_question_is_refused(client: Client, path: str, params: dict[str, str]) -> None:
    reply = client.get(path, params=params)
    assert reply.status_code == 400, reply.text
    assert reply.json()["status"] == 400


def test_a_device_that_two_people_share_makes_them_not_one(client: Client) -> None:
    send(client, identify("s-u", "s-device"), identify("s-v", "s-device"))
    assert data(client, of("s-u"))["ids"] == ["s-u", "s-device"]
    assert data(client, of("s-v"))["ids"] == ["s-v"]


def test_a_placeholder_joins_nobody(client: Client) -> None:
    send(client, identify("p-u", "undefined"), identify("NULL", "p-a"), identify("p-v", "undefined"))
    assert data(client, of("p-u"))["ids"] == ["p-u"]
    assert client.get("/api/v1/users", params={"search": "undefined"}).json()["data"] == []


def test_people_outlive_restarts_and_what_was_said_before_one_is_known_after_it(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_PEOPLE_PLACEHOLDERS": "nobody"})
    with server.client("secret") as client:
        send(client, track("visited", anonymous="a"), identify("u", "a", plan="pro"), identify("nobody", "a"))
        send(client, identify("null", "b"))
    server.kill()
    server.start()
    with server.client("secret") as client:
        assert data(client, of("a"))["ids"] == ["u", "a"]
        assert data(client, of("null"))["ids"] == ["null", "b"]


def test_progress_and_points_of_both_are_one_persons_until_the_merge_is_undone(make_server: MakeServer) -> None:
    server = make_server()
    rules = "challenges:\n  - {id: visits, fact: custom.visited, goal: 2, points: 10}\n"
    with server.client("secret") as client:
        headers = {"content-type": "application/yaml"}
        assert client.put("/api/v1/rules", content=rules, headers=headers).status_code == 200
        send(client, *(track("visited", anonymous="a") for _ in range(3)), track("visited", user="u"))
        send(client, track("visited", user="u"))

        def points_and_progress(name: str) -> tuple[int, int]:
            shown = data(client, f"/api/v1/participants/{name}")
            return shown["points"]["balance"], shown["challenges"][0]["progress"]

        assert (points_and_progress("a"), points_and_progress("u")) == ((10, 3), (10, 2))
        send(client, identify("u", "a"))
        assert points_and_progress("a") == points_and_progress("u") == (10, 5)
        assert data(client, of("a"))["participant"]["points"]["balance"] == 10
        assert client.delete(f"{of('u')}/aliases/a").status_code == 200
        assert (points_and_progress("a"), points_and_progress("u")) == ((10, 3), (10, 2))
