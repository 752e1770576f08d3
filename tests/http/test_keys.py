"""API keys over HTTP: made, listed, rotated and revoked, and never more than their maker is."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.model.keys import SCOPES
from headrace.model.times import parse_time, render_time_short
from tests.http.routes import assert_refused
from tests.server import Client, Server

PATH = "/api/v1/keys"


def make(client: Client, **body: Any) -> dict[str, Any]:
    made = client.post(PATH, json=body)
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    return made.json()["data"]


def test_a_made_key_works_at_once_and_its_secret_is_shown_once(server: Server, client: Client) -> None:
    made = make(client, name="checkout", scopes=["ingest"], expires_at="2100-01-01T00:00:00Z")
    assert (made["name"], made["scopes"], made["status"]) == ("checkout", ["ingest"], "works")
    assert made["expires_at"] == "2100-01-01T00:00:00Z"
    secret = made.pop("secret")
    with server.client(secret) as other:
        assert other.post("/api/v1/events", json={"name": "n"}).status_code == 201
        assert_refused(other.get(PATH), "native", 403)
    shown = client.get(f"{PATH}/{made['id']}")
    assert shown.json()["data"] == made
    assert secret not in shown.text + client.get(PATH).text
    assert client.get("/v1/admin/events").json()["total"] == 1, "the key is for the project and mode of its maker"


def test_the_style_decides_what_is_not_said(client: Client) -> None:
    assert make(client)["secret"].startswith("sk_live_")
    assert make(client, style="solute")["scopes"] == ["ingest"]
    assert make(client, style="admin")["scopes"] == list(SCOPES)
    page = make(client, origins=["https://App.example/"])
    assert (page["style"], page["origins"], page["scopes"]) == ("publishable", ["https://app.example"], ["ingest"])


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON"),
        (b"[]", "object"),
        (b'{"scopes":[]}', "ingest,query,admin"),
        (b'{"scopes":["root"]}', "'root'"),
        (b'{"scopes":"ingest"}', "scopes"),
        (b'{"style":"stripe"}', "stripe"),
        (b'{"name":7}', "name"),
        (b'{"name":"a\\u0000b"}', "control characters"),
        (b'{"expires_at":"2001-01-01"}', "future"),
        (b'{"expires_at":"soon"}', "expires_at"),
        (b'{"origins":["app.example"]}', "'app.example'"),
        (b'{"style":"admin","origins":["https://a.example"]}', "publishable"),
        (b'{"style":"publishable","scopes":["query"]}', "publishable"),
        (b'{"project":"other"}', "'project'"),
        (b'{"mode":"test"}', "'mode'"),
    ],
)
def test_what_is_not_understood_is_refused_and_makes_nothing(client: Client, body: bytes, words: str) -> None:
    refused = client.post(PATH, content=body)
    assert_refused(refused, "native", 400)
    assert words in refused.json()["detail"]
    assert len(client.get(PATH).json()["data"]) == 1


@pytest.mark.parametrize(
    ("maker_has", "asked"),
    [
        ({"admin"}, {}),
        ({"admin"}, {"scopes": ["ingest"]}),
        ({"admin", "query"}, {"scopes": ["admin", "ingest"]}),
        ({"admin", "ingest"}, {"style": "admin"}),
        ({"admin", "query"}, {"style": "publishable"}),
    ],
)
def test_a_key_gives_no_scope_that_it_lacks(
    server: Server, keys: Keys, project: str, maker_has: Any, asked: dict[str, Any]
) -> None:
    maker, secret = keys.create(project, "live", "admin", maker_has, clock_ms())
    with server.client(secret) as client:
        refused = client.post(PATH, json=asked)
        assert_refused(refused, "native", 403)
        assert "only grant scopes that it has" in refused.json()["detail"]
        assert [each["id"] for each in client.get(PATH).json()["data"]] == [maker.id]
        assert set(make(client, scopes=sorted(maker_has))["scopes"]) == maker_has


def test_a_key_renews_no_key_that_may_do_more(server: Server, client: Client, keys: Keys, project: str) -> None:
    stronger = make(client, style="admin")
    _, secret = keys.create(project, "live", "admin", {"admin"}, clock_ms())
    with server.client(secret) as weaker:
        assert_refused(weaker.post(f"{PATH}/{stronger['id']}/rotate"), "native", 403)
    assert client.get(f"{PATH}/{stronger['id']}").json()["data"]["replaced_by"] is None


def test_a_key_that_expires_makes_none_that_lasts(server: Server, client: Client, keys: Keys, project: str) -> None:
    lasting, until_ms = make(client), clock_ms() + 3_600_000
    maker, secret = keys.create(project, "live", "admin", None, clock_ms(), until_ms)
    until = render_time_short(until_ms)
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with server.client(secret) as lent:
        for path, body in ((PATH, {"expires_at": later}), (f"{PATH}/{lasting['id']}/rotate", {"expires_at": later})):
            refused = lent.post(path, json=body)
            assert_refused(refused, "native", 403)
            assert until in refused.json()["detail"]
        assert make(lent)["expires_at"] == until
        own = lent.post(f"{PATH}/{maker.id}/rotate").json()["data"]
        assert own["expires_at"] == until


def test_a_rotated_key_and_its_successor_both_work_until_the_stated_moment(server: Server, client: Client) -> None:
    first = make(client, name="rotated", style="bricqs")
    rotated = client.post(f"{PATH}/{first['id']}/rotate", json={"overlap_seconds": 3600}).json()["data"]
    assert (rotated["name"], rotated["style"], rotated["scopes"]) == ("rotated", "bricqs", ["ingest"])
    former = rotated["former"]
    assert (former["id"], former["replaced_by"], former["status"]) == (first["id"], rotated["id"], "works")
    assert former["expires_at"] is not None
    for secret in (first["secret"], rotated["secret"]):
        with server.client(secret) as each:
            assert each.post("/api/v1/events", json={"name": "n"}).status_code == 201
    again = client.post(f"{PATH}/{first['id']}/rotate")
    assert_refused(again, "native", 409)
    assert rotated["id"] in again.json()["detail"]


def test_without_an_overlap_the_former_key_ends_at_once(server: Server, client: Client) -> None:
    first = make(client)
    rotated = client.post(f"{PATH}/{first['id']}/rotate", json={"overlap_seconds": 0}).json()["data"]
    assert rotated["former"]["status"] == "expired"
    with server.client(first["secret"]) as former, server.client(rotated["secret"]) as new:
        assert former.get("/api/v1/events").status_code == 401
        assert new.get("/api/v1/events").status_code == 200


@pytest.mark.parametrize(
    "body", [b'{"overlap_seconds":-1}', b'{"overlap_seconds":31622401}', b'{"overlap":1}', b"7", b'{"expires_at":""}']
)
def test_a_rotation_that_is_not_understood_changes_nothing(client: Client, body: bytes) -> None:
    made = make(client)
    assert_refused(client.post(f"{PATH}/{made['id']}/rotate", content=body), "native", 400)
    assert client.get(f"{PATH}/{made['id']}").json()["data"]["replaced_by"] is None


def test_a_revoked_key_stays_in_the_list_and_stays_revoked(server: Server, client: Client) -> None:
    made = make(client)
    revoked = client.delete(f"{PATH}/{made['id']}").json()["data"]
    assert revoked["status"] == "revoked"
    assert client.delete(f"{PATH}/{made['id']}").json()["data"] == revoked
    assert revoked in client.get(PATH).json()["data"]
    assert_refused(client.post(f"{PATH}/{made['id']}/rotate"), "native", 409)
    with server.client(made["secret"]) as other:
        assert other.get("/api/v1/events").status_code == 401


def test_keys_of_another_project_or_mode_look_unknown(server: Server, client: Client, project: str) -> None:
    made = make(client)
    for other_project, mode in ((project, "test"), (f"{project}-2", "live")):
        with server.client(server.key(other_project, mode)) as stranger:  # type: ignore[arg-type]
            for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
                assert_refused(stranger.request(method, f"{PATH}/{made['id']}{end}"), "native", 404)
            assert made["id"] not in stranger.get(PATH).text
    assert client.get(f"{PATH}/{made['id']}").json()["data"]["status"] == "works"


def test_keys_are_listed_a_page_at_a_time(client: Client) -> None:
    for _ in range(4):
        make(client)
    whole = client.get(PATH).json()["data"]
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(PATH, params={"limit": 2, "cursor": cursor}).json()
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    assert (found, len(found)) == (whole, 5)
    for wrong in ("x", "e30=", "LnggeA=="):
        assert_refused(client.get(PATH, params={"cursor": wrong}), "native", 400)


def test_a_secret_in_place_of_an_id_is_not_repeated(client: Client) -> None:
    secret = make(client)["secret"]
    for method, end in (("GET", ""), ("DELETE", ""), ("POST", "/rotate")):
        refused = client.request(method, f"{PATH}/{secret}{end}")
        assert_refused(refused, "native", 404)
        assert secret not in refused.text
    assert secret not in client.get("/api/v1/audit").text


def test_what_a_key_is_used_for_is_told_before_it_is_revoked(server: Server, client: Client) -> None:
    made = make(client, name="checkout")
    path = f"{PATH}/{made['id']}/uses"
    unused = client.get(path).json()
    assert unused == {"data": [], "meta": {"last_hour": 0, "last_day": 0, "last_used_at": None, "more": False}}
    with server.client(made["secret"]) as other:
        for agent in ("checkout/2.1 (linux)", "checkout/2.1 (mac)", "curl/8.5.0"):
            other.post("/api/v1/events", json={"name": "n"}, headers={"User-Agent": agent})
        assert_refused(other.get(PATH), "native", 403)  # what is refused is no use
        other.get("/api/v1/events/evt_0", headers={"User-Agent": "curl/8.5.0"})
    found = client.get(path).json()
    rows = [
        (each["kind"], each["route"], each["client"], each["last_hour"], each["last_day"]) for each in found["data"]
    ]
    assert sorted(rows) == [
        ("flux_query", "GET /api/v1/events/{event_id}", "curl/8.5.0", 1, 1),
        ("flux_single", "POST /api/v1/events", "checkout/2.1", 2, 2),
        ("flux_single", "POST /api/v1/events", "curl/8.5.0", 1, 1),
    ]
    assert rows[0][-1] == 2, "the most requests first"
    assert (found["meta"]["last_hour"], found["meta"]["last_day"], found["meta"]["more"]) == (4, 4, False)
    assert parse_time(found["meta"]["last_used_at"]) >= parse_time(made["created_at"])


def test_another_projects_key_tells_nothing_of_its_use(server: Server, client: Client, keys: Keys) -> None:
    other, _ = keys.create("somebody-else", "live", "flux", None, clock_ms())
    assert_refused(client.get(f"{PATH}/{other.id}/uses"), "native", 404)
