"""The address that analytics.js is told to send to: the operator's, or one that was checked; never what a stranger wrote."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import falcon.asgi
import falcon.testing
import pytest

from headrace.http.addresses import Addresses
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from tests.http.raw import ask
from tests.http.routes import assert_refused
from tests.server import Server


def told(server: Server, key: str, lines: Mapping[str, str]) -> Any:
    """The answer to a request with these headers, `Host` among them."""
    head = "".join(f"{name}: {value}\r\n" for name, value in ({"Host": "h:1"} | dict(lines)).items())
    return ask(server.url, f"GET /v1/projects/{key}/settings HTTP/1.1\r\n{head}\r\n".encode("latin-1"))


def address(answer: Any) -> str:
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    destination = answer.json()["integrations"]["Segment.io"]
    return f"{destination['protocol']}://{destination['apiHost']}"


FORWARDED = {
    "X-Forwarded": {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"},
    "Forwarded": {"Forwarded": "for=1.2.3.4;host=evil.example;proto=https"},
}


@pytest.mark.parametrize("lines", FORWARDED.values(), ids=FORWARDED.keys())
def test_what_a_stranger_forwards_is_ignored(server: Server, key: str, lines: Mapping[str, str]) -> None:
    assert address(told(server, key, lines | {"Host": "events.example:8080"})) == "http://events.example:8080/v1"


@pytest.mark.parametrize(
    "host", ["localhost", "a.b-c.example", "1.2.3.4:80", "[::1]", "[2001:db8::1]:8080", "X.example"]
)
def test_a_host_is_told_with_its_port(server: Server, key: str, host: str) -> None:
    assert address(told(server, key, {"Host": host})) == f"http://{host}/v1"


@pytest.mark.parametrize(
    "host",
    ["a/b", "a b", 'a"', "<b>", "user@a", "a:x", "a:99999", "a:1:2", "[::1", "[x]", "a?b", "a#b", "é", "-a", "a,b"],
)
def test_a_host_that_is_none_is_refused(server: Server, key: str, host: str) -> None:
    assert_refused(told(server, key, {"Host": host}), "segment", 400)


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("203.0.113.7", {}, "203.0.113.7"),
        ("::ffff:203.0.113.7", {}, "203.0.113.7"),
        ("203.0.113.7", {"X-Forwarded-For": "198.51.100.1"}, "203.0.113.7"),
        ("203.0.113.7", {"Forwarded": "for=198.51.100.1"}, "203.0.113.7"),
        ("10.0.0.1", {}, "10.0.0.1"),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.1"}, "198.51.100.1"),
        ("10.0.0.1", {"X-Forwarded-For": "1.1.1.1, 198.51.100.1, 10.0.0.2"}, "198.51.100.1"),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.1:4711"}, "198.51.100.1"),
        ("10.0.0.1", {"X-Forwarded-For": "10.0.0.3, 10.0.0.2"}, "10.0.0.3"),
        ("10.0.0.1", {"X-Forwarded-For": "198.51.100.1, <script>"}, "10.0.0.1"),
        ("10.0.0.1", {"Forwarded": 'for=1.1.1.1, for="[2001:db8::7]:4711", for=10.0.0.2'}, "2001:db8::7"),
        ("10.0.0.1", {"Forwarded": "for=198.51.100.1", "X-Forwarded-For": "1.1.1.1"}, "198.51.100.1"),
        ("10.0.0.1", {"Forwarded": "for=_hidden"}, "10.0.0.1"),
        ("", {"X-Forwarded-For": "198.51.100.1"}, ""),
    ],
)
def test_a_client_is_where_the_last_proxy_that_is_trusted_says(
    peer: str, lines: Mapping[str, str], client: str
) -> None:
    scope = falcon.testing.create_scope(headers=dict(lines), remote_addr=peer or None)
    scope["client"] = (peer, 1)
    request = falcon.asgi.Request(scope, lambda: None)  # type: ignore[arg-type]
    assert Addresses(Settings(trusted_proxies="10.0.0.0/8")).client_of(request) == client


@pytest.fixture(scope="module")
def behind_proxies(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"HEADRACE_TRUSTED_PROXIES": "10.0.0.0/8, 127.0.0.1", "HEADRACE_ADMIN_KEY": "secret"}
    server = Server(tmp_path_factory.mktemp("proxied"), settings).start()
    yield server
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ({"X-Forwarded-Host": "a.example", "X-Forwarded-Proto": "https"}, "https://a.example/v1"),
        ({"X-Forwarded-Host": "a.example, b:1", "X-Forwarded-Proto": "https,http"}, "https://a.example/v1"),
        ({"Forwarded": "host=a.example;proto=https, host=b;proto=http"}, "https://a.example/v1"),
        ({"X-Forwarded-Proto": "HTTPS"}, "https://h:1/v1"),
        ({"X-Forwarded-Host": "a.example:444"}, "http://a.example:444/v1"),
        ({"X-Forwarded-Host": "a/b", "X-Forwarded-Proto": "javascript"}, "http://h:1/v1"),
        ({"X-Forwarded-Host": "", "X-Forwarded-Proto": ""}, "http://h:1/v1"),
        ({}, "http://h:1/v1"),
    ],
)
def test_what_a_trusted_proxy_forwards_counts_if_it_is_an_address(
    behind_proxies: Server, lines: Mapping[str, str], wanted: str
) -> None:
    assert address(told(behind_proxies, "secret", lines)) == wanted


def test_a_public_url_is_told_whatever_the_request_says(tmp_path: Path) -> None:
    settings = {
        "HEADRACE_PUBLIC_URL": "https://events.example/in/",
        "HEADRACE_TRUSTED_PROXIES": "127.0.0.0/8",
        "HEADRACE_ADMIN_KEY": "secret",
    }
    server = Server(tmp_path, settings).start()
    for lines in ({}, {"Host": "a/b"}, *FORWARDED.values()):
        assert address(told(server, "secret", lines)) == "https://events.example/in/v1"
    assert server.stop() == 0


@pytest.mark.parametrize(
    "url", ["x", "ftp://a", "https://", "https://a b", "https://a?x", "//a", "https://u@a", "https://a:x"]
)
def test_a_public_url_that_is_none_is_named_at_the_start(url: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_PUBLIC_URL"):
        Addresses(Settings(public_url=url))


@pytest.mark.parametrize("networks", ["x", "1.2.3", "10.0.0.0/33", "::1/x", "10.0.0.0/8;1.1.1.1"])
def test_networks_that_are_none_are_named_at_the_start(networks: str) -> None:
    with pytest.raises(SettingsError, match="HEADRACE_TRUSTED_PROXIES"):
        Addresses(Settings(trusted_proxies=networks))
