"""Events in a query string: what pixels, script elements, beacons and SDKs that send by GET need of each such route."""

import base64
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
import pytest

from headrace.dialects.pixels import GIF
from headrace.dialects.route import Ingest
from headrace.dialects.table import DIALECTS
from headrace.model.keys import parse_origins
from tests.http.raw import ask, request
from tests.http.routes import assert_refused, stored
from tests.server import Client, Server

PAGE = "https://app.example"


class Sent(NamedTuple):
    """An event as one route wants it in its query. `key`: where the event says whose it is."""

    path: str
    dialect: str
    event: dict[str, Any]
    key: tuple[str, ...]
    reply: bytes

    def query(self, key: str = "", **more: str) -> str:
        event: Any = json.loads(json.dumps(self.event))
        *inside, name = self.key
        owner = event
        for member in inside:
            owner = owner[member]
        if key:
            owner[name] = key
        data = base64.b64encode(json.dumps(event).encode()).decode()
        return "&".join(f"{field}={quote(value, safe='')}" for field, value in ({"data": data} | more).items())


def _segment(**more: object) -> dict[str, Any]:
    return {"anonymousId": "a", "event": "Opened", "groupId": "g", "previousId": "p", **more}


_TRACKED = {"event": "Opened", "properties": {"distinct_id": "u"}}
_CAPTURED = {"event": "Opened", "distinct_id": "u", "properties": {}}
SENT = (
    *(Sent(path, "mixpanel", _TRACKED, ("properties", "token"), b"1") for path in ("/track", "/import")),
    Sent("/engage", "mixpanel", {"$distinct_id": "u", "$set": {"a": 1}}, ("$token",), b"1"),
    Sent("/groups", "mixpanel", {"$group_key": "c", "$group_id": "g", "$set": {"a": 1}}, ("$token",), b"1"),
    *(Sent(path, "posthog", _CAPTURED, ("api_key",), b'{"status":1}') for path in ("/e", "/i/v0/e", "/capture")),
    *(
        Sent(f"/v1/pixel/{call}", "segment", _segment(), ("writeKey",), GIF)
        for call in ("track", "identify", "page", "screen", "group", "alias")
    ),
    *(
        Sent(f"/api/px/{call}", "segment", _segment(), ("writeKey",), GIF)
        for call in ("track", "identify", "page", "screen", "group", "alias")
    ),
    *(Sent(f"/pixel/v1/{call}", "segment", _segment(), ("writeKey",), GIF) for call in ("track", "page")),
)
EACH = pytest.mark.parametrize("sent", SENT, ids=lambda sent: sent.path)


@pytest.fixture(scope="module")
def nobody(server: Server) -> Iterator[Client]:
    with server.client() as client:
        yield client


def test_every_route_that_takes_events_by_get_is_tested_here() -> None:
    by_get = {
        route.path
        for dialect in DIALECTS
        for route in dialect.routes
        if route.method == "GET" and isinstance(route.does, Ingest)
    }
    assert by_get == {sent.path for sent in SENT}


@EACH
def test_an_event_in_the_query_is_stored_and_answered_as_its_sender_expects(
    nobody: Client, client: Client, key: str, sent: Sent
) -> None:
    for path in (sent.path, f"{sent.path}/"):
        answer = nobody.get(f"{path}?{sent.query(key)}")
        assert (answer.status_code, answer.content) == (200, sent.reply)
        assert answer.headers["Content-Type"] == ("image/gif" if sent.reply == GIF else "application/json")
        assert "Set-Cookie" not in answer.headers
    assert stored(client) == 2


@EACH
def test_no_browser_or_proxy_keeps_the_answer_or_the_next_view_would_not_count(client: Client, sent: Sent) -> None:
    assert client.get(f"{sent.path}?{sent.query()}").headers["Cache-Control"] == "no-store"


@EACH
def test_head_says_what_get_would_and_stores_nothing(nobody: Client, client: Client, key: str, sent: Sent) -> None:
    good = nobody.head(f"{sent.path}?{sent.query(key)}")
    assert (good.status_code, good.content) == (200, b"")
    assert good.headers["Content-Type"] == client.get(f"{sent.path}?{sent.query()}").headers["Content-Type"]
    assert nobody.head(f"{sent.path}?{sent.query()}").status_code == 401
    assert client.head(f"{sent.path}?data=x").status_code == 400
    assert stored(client) == 1


@EACH
def test_a_query_without_a_key_or_with_a_wrong_one_is_refused(nobody: Client, client: Client, sent: Sent) -> None:
    for query in (sent.query(), sent.query("unknown"), ""):
        assert_refused(nobody.get(f"{sent.path}?{query}"), sent.dialect, 401)
    for query in ("data=x", "data=%7B", "data=%22x%22", "data=7", "data=%5B%5D", "data=!", "data=eyJh"):
        assert_refused(client.get(f"{sent.path}?{query}"), sent.dialect, 400)
    assert stored(client) == 0


@EACH
def test_a_query_that_is_not_utf_8_or_has_too_many_parameters_is_refused(
    server: Server, client: Client, key: str, sent: Sent
) -> None:
    for query in ("data=%FF", "data=%C3", "&".join(f"p{number}=1" for number in range(300))):
        assert_refused(client.get(f"{sent.path}?{query}"), sent.dialect, 400)
    raw = ask(server.url, request("GET", f"{sent.path}?data=".encode() + b"\xff\xfe", key))
    assert raw.status_code == 400
    assert stored(client) == 0


@EACH
def test_a_query_too_large_is_refused_with_its_size_the_limit_and_what_to_do(client: Client, sent: Sent) -> None:
    answer = client.get(f"{sent.path}?{sent.query(pad='x' * 33_000)}")
    assert_refused(answer, sent.dialect, 413)
    for part in ("32768", str(len(answer.request.url.query)), "POST"):
        assert part in answer.text
    assert client.get(f"{sent.path}?{sent.query(pad='x' * 30_000)}").status_code == 200


@EACH
def test_an_image_on_anothers_page_cannot_use_a_key_of_ours(
    server: Server, nobody: Client, client: Client, project: str, sent: Sent
) -> None:
    """A browser gives images no Origin, but the page's in Referer."""
    key = server.key(project, style="publishable", origins=parse_origins(PAGE))
    query = sent.query(key)
    for headers in ({"Referer": f"{PAGE}/"}, {"Referer": f"{PAGE}/a?b"}, {"Origin": PAGE}):
        assert nobody.get(f"{sent.path}?{query}", headers=headers).status_code == 200
    for headers in (
        {},
        {"Referer": "https://evil.example/"},
        {"Referer": f"https://evil.example/{PAGE}"},
        {"Referer": f"{PAGE}.evil/"},
        {"Referer": "http://app.example/"},
        {"Referer": "http://[bad"},
        {"Referer": "app.example"},
        {"Origin": "https://evil.example", "Referer": f"{PAGE}/"},
        {"Origin": "null", "Referer": f"{PAGE}/"},
    ):
        assert_refused(nobody.get(f"{sent.path}?{query}", headers=headers), sent.dialect, 403)
    assert stored(client) == 3


@EACH
def test_a_page_may_read_the_answer(nobody: Client, key: str, sent: Sent) -> None:
    answer = nobody.get(f"{sent.path}?{sent.query(key)}", headers={"Origin": PAGE})
    assert answer.headers["Access-Control-Allow-Origin"] == PAGE


# Mixpanel's wishes


def test_mixpanel_answers_as_the_query_wishes(client: Client) -> None:
    sent = SENT[0]
    image = client.get(f"/track?{sent.query(img='1')}")
    assert (image.headers["Content-Type"], image.content) == ("image/gif", GIF)
    verbose = client.get(f"/track?{sent.query(verbose='1')}")
    assert verbose.json() == {"status": 1, "error": None}
    script = client.get(f"/track?{sent.query(callback='mixpanel.done')}")
    assert script.headers["Content-Type"].startswith("text/javascript")
    assert script.text == "mixpanel.done(1);"
    posted = client.post("/engage?img=1", json=SENT[2].event)
    assert (posted.headers["Content-Type"], posted.content) == ("image/gif", GIF)
    assert stored(client) == 4


@pytest.mark.parametrize("callback", ["alert(1)", "a;b", "a b", "a/*", "</script>", "é", "a" * 101, "1a", "a..b"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_callback_that_is_no_name_is_refused_before_anything_is_stored(
    client: Client, method: str, callback: str
) -> None:
    query = SENT[0].query(callback=callback)
    content = json.dumps(SENT[0].event).encode() if method == "POST" else b""
    assert_refused(client.request(method, f"/track?{query}", content=content), "mixpanel", 400)
    assert stored(client) == 0


# RudderStack's beacon, and what its SDK asks first

BATCH = {"batch": [{"type": "track", "event": "Left", "anonymousId": "a", "channel": "web"}]}


def beacon(client: Client, query: str, **headers: str) -> httpx.Response:
    """navigator.sendBeacon sets no header and, so that no preflight is needed, labels JSON as text."""
    content, kind = json.dumps(BATCH).encode(), {"Content-Type": "text/plain;charset=UTF-8"}
    return client.post(f"/beacon/v1/batch{query}", content=content, headers=kind | headers)


def test_rudderstacks_beacon_has_its_key_in_the_query(
    server: Server, nobody: Client, client: Client, key: str, project: str
) -> None:
    assert beacon(nobody, f"?writeKey={key}").json() == {"success": True}
    assert beacon(client, "?writeKey=unknown").status_code == 200  # a key in a header wins
    for query in ("", "?writeKey=", "?writeKey=unknown", f"?WRITEKEY={key}"):
        assert_refused(beacon(nobody, query), "segment", 401)
    mine = server.key(project, style="publishable", origins=(PAGE,))
    assert beacon(nobody, f"?writeKey={mine}", Origin=PAGE).status_code == 200
    assert_refused(beacon(nobody, f"?writeKey={mine}", Origin="https://evil.example"), "segment", 403)
    assert stored(client) == 3


def test_no_other_route_takes_a_write_key_from_the_query(nobody: Client, key: str) -> None:
    for path in ("/v1/batch", "/v1/track", "/api/v1/events", "/track", "/e"):
        assert nobody.post(f"{path}?writeKey={key}", json={"name": "n"}).status_code in (400, 401)


def test_rudderstacks_sdk_is_told_of_a_source_without_destinations(nobody: Client, key: str) -> None:
    by_header = nobody.get("/sourceConfig/?p=npm&v=3.0.0", auth=(key, ""))
    by_query = nobody.get(f"/sourceConfig?p=npm&writeKey={key}")
    assert by_header.json() == by_query.json()
    source = by_header.json()["source"]
    assert source["enabled"] is True
    assert source["destinations"] == []
    assert source["config"]["statsCollection"]["errors"]["enabled"] is False
    for query in ("", "?writeKey=", "?writeKey=unknown"):
        assert_refused(nobody.get(f"/sourceConfig{query}"), "segment", 401)


# Segment's snippet


def test_segments_snippet_finds_its_key_this_servers_address_and_the_settings(nobody: Client, key: str) -> None:
    script = nobody.get(f"/analytics.js/v1/{key}/analytics.min.js")
    assert script.headers["Content-Type"].startswith("text/javascript")
    settings = nobody.get(f"/v1/projects/{key}/settings")
    assert settings.text in script.text
    host = nobody.base_url.netloc.decode()
    assert f'analytics._cdn = "http://{host}"' in script.text
    assert f'_writeKey = "{key}"' in script.text
    assert "console.error" in script.text  # or a page without the library would lose its events in silence
    assert_refused(nobody.get("/analytics.js/v1/unknown/analytics.min.js"), "segment", 401)
