"""What holds for each SDK family: the key in the body, who is let in, how much, how it is refused, and what a repeat is."""

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from tests.cases import case
from tests.http.conftest import FullLog
from tests.http.families import FAMILIES, Family, text
from tests.http.routes import stored
from tests.server import Client, Server
from tests.waiting import until

EACH = pytest.mark.parametrize("family", FAMILIES, ids=str)


@pytest.fixture(scope="module")
def nobody(server: Server) -> Iterator[Client]:
    """A client without a key in its headers."""
    with server.client() as client:
        yield client


def assert_refused(answer: Any, family: Family, status: int, *, read: bool = True) -> str:
    """The answer has this status and the shape in which the family's own server says no; its message.

    read: whether there was a body that could tell whose it is, where two families share a path.
    """
    assert answer.status_code == status, answer.text
    document = answer.json()
    message = family.message(document)
    shape = family.error if read or family.unread is None else family.unread
    assert document == shape(status, message)
    assert message.strip()
    return message


def names(client: Client) -> list[str]:
    return sorted(row["name"] for row in client.get("/api/v1/events").json()["data"])


@EACH
def test_a_key_in_the_body_is_as_good_as_one_in_a_header(
    nobody: Client, client: Client, key: str, family: Family
) -> None:
    assert nobody.post(family.path, json=family.body("in the body", "1", key)).status_code == 200
    assert client.post(family.path, json=family.body("in a header", "2", "")).status_code == 200
    assert nobody.post(family.path, json=family.body("basic", "3", ""), auth=(key, "")).status_code == 200
    assert nobody.post(f"{family.path}?api_key={key}", json=family.body("query", "4", "")).status_code == 200
    assert names(client) == ["basic", "in a header", "in the body", "query"]


@EACH
def test_a_key_in_a_header_wins_over_the_one_in_the_body(
    server: Server, client: Client, key: str, project: str, family: Family
) -> None:
    with server.client(server.key(f"{project}-2")) as other:
        assert other.post(family.path, json=family.body("n", "1", key)).status_code == 200
        assert (stored(other), stored(client)) == (1, 0)
    with server.client("unknown") as unknown:
        assert_refused(unknown.post(family.path, json=family.body("n", "1", key)), family, 401)


@EACH
def test_a_key_in_the_body_that_does_not_work_is_refused(
    server: Server, nobody: Client, keys: Keys, client: Client, project: str, family: Family
) -> None:
    _, reader = keys.create(project, "live", "admin", {"query", "admin"}, clock_ms())
    revoked = server.key(project)
    keys.revoke(revoked, clock_ms())
    for secret, status in (
        ("", 401),
        ("unknown", 401),
        ("x" * 5000, 401),
        ("é\x00", 401),
        (revoked, 401),
        (reader, 403),
    ):
        response = nobody.post(family.path, json=family.body("n", "1", secret))
        assert_refused(response, family, status)
        assert status != 401 or response.headers["WWW-Authenticate"] == "Bearer"
    assert stored(client) == 0


@EACH
def test_a_key_in_the_body_opens_its_own_mode_and_project_alone(
    server: Server, nobody: Client, client: Client, project: str, family: Family
) -> None:
    tested = server.key(project, "test")
    assert nobody.post(family.path, json=family.body("n", "1", tested)).status_code == 200
    assert stored(client) == 0
    with server.client(tested) as other:
        assert stored(other) == 1


@EACH
def test_a_repeat_by_the_senders_own_id_is_stored_once(client: Client, family: Family) -> None:
    for _ in range(3):
        assert (
            client.post(family.path, json=family.body("n", "2dd9e6ad-9a2f-4b6e-8d5f-0d7a3ac5b1c0", "")).status_code
            == 200
        )
    assert (
        client.post(family.path, json=family.body("n", "5a7c1d0e-1111-4b6e-8d5f-0d7a3ac5b1c0", "")).status_code == 200
    )
    assert stored(client) == 2


@EACH
def test_a_body_is_read_in_whatever_the_sdks_wrap_it(client: Client, family: Family) -> None:
    plain = text(family.body("n", "", ""))
    for content, headers in (
        (plain, {"Content-Type": "application/x-www-form-urlencoded"}),
        (plain, {"Content-Type": "text/plain;charset=UTF-8"}),
        (gzip.compress(plain), {"Content-Encoding": "gzip"}),
        (gzip.compress(plain), {"Content-Type": "text/plain"}),
        (b"\xef\xbb\xbf" + plain, {}),
    ):
        response = client.post(family.path, content=content, headers=headers)
        assert response.status_code == 200, response.text
    assert stored(client) == 5


NO_EVENTS = (
    *(
        b"",
        b" ",
        b"null",
        b"7",
        b'"text"',
        b"{",
        b"[",
        b"{}",
        b"[]",
        b"[[]]",
        b"\xff",
        b"data=",
        b"data=e30",
        b"a=1&b=2",
    ),
    *(b'{"a":NaN}', b'{"a":"\\ud800"}', b"\x1f\x8b\x08", b"[" * 100_000, b'{"a":' * 100_000),
)


@EACH
def test_what_is_no_event_is_refused(client: Client, nobody: Client, family: Family) -> None:
    for body in NO_EVENTS:
        with case(body[:12]):
            assert_refused(client.post(family.path, content=body), family, 400, read=False)
            assert nobody.post(family.path, content=body).status_code in (400, 401)
    assert stored(client) == 0


@EACH
def test_a_browser_may_send_from_anywhere(nobody: Client, family: Family) -> None:
    preflight = nobody.options(family.path, headers={"Origin": "https://shop.example"})
    assert preflight.status_code == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    refused = nobody.post(family.path, json=family.body("n", "1", "unknown"))
    assert refused.headers["Access-Control-Allow-Origin"] == "*"


@EACH
def test_a_publishable_key_in_the_body_works_on_its_own_pages_alone(
    server: Server, nobody: Client, client: Client, project: str, family: Family
) -> None:
    key = server.key(project, style="publishable", origins=("https://app.example",))
    body = family.body("n", "1", key)
    assert nobody.post(family.path, json=body, headers={"Origin": "https://app.example"}).status_code == 200
    for headers in ({}, {"Origin": "https://evil.example"}, {"Origin": "null"}):
        assert_refused(nobody.post(family.path, json=body, headers=headers), family, 403)
    assert stored(client) == 1


@EACH
def test_other_methods_are_refused(client: Client, family: Family) -> None:
    assert_refused(client.put(family.path), family, 405, read=False)


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which every limit is small."""
    settings = {f"HEADRACE_LIMIT_{each.limit.upper()}": "1" for each in FAMILIES}
    settings |= {"HEADRACE_RATE_LIMITS": "on", "HEADRACE_SEGMENT_MAX_REQUEST_BYTES": "2000"}
    settings |= {"HEADRACE_MAX_REQUEST_BYTES": "2000", "HEADRACE_MAX_EVENT_BYTES": "1000"}
    server = Server(tmp_path_factory.mktemp("limited"), settings).start()
    yield server
    assert server.stop() == 0


@EACH
def test_a_rate_limit_holds_for_a_key_in_the_body_too(limited: Server, project: str, family: Family) -> None:
    key = limited.key(project)
    with limited.client() as nobody:
        assert nobody.post(family.path, json=family.body("n", "1", key)).status_code == 200
        refused = nobody.post(family.path, json=family.body("n", "2", key))
    if family.dialect == "posthog":  # whose SDK for pages drops what is answered 429
        assert (refused.status_code, refused.json()["code"]) == (503, "rate_limited")
    else:
        assert_refused(refused, family, 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit-Policy"] == f'"{family.limit}";q=1;w=60'


@EACH
def test_a_body_too_large_is_refused_before_any_key_is_looked_for(limited: Server, family: Family) -> None:
    body = text(family.body("n" * 2100, "1", "unknown"))
    with limited.client() as nobody:
        message = assert_refused(nobody.post(family.path, content=body), family, 413, read=False)
        assert str(len(body)) in message
        assert "2000" in message
        packed = assert_refused(nobody.post(family.path, content=gzip.compress(body)), family, 413, read=False)
        assert "2000" in packed


def test_a_full_log_is_503_with_retry_after(full_log: FullLog) -> None:
    with full_log.server.client(full_log.server.key()) as client:
        for family in FAMILIES:
            refused = client.post(family.path, json=family.body("n", "1", ""))
            assert_refused(refused, family, 503)
            assert int(refused.headers["Retry-After"]) >= 1
        full_log.told.write_text("ok")
        until(lambda: client.get("/ready").status_code == 200)  # until then queries may be refused at once
        assert stored(client) == 1
