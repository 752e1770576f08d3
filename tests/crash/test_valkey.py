"""A server and the Valkey that holds its log, each killed again and again under traffic: nothing lost, nothing there twice."""

import itertools
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from headrace.control.database import open_database
from tests.server import Server
from tests.valkey_server import Valkey, started
from tests.waiting import until

RULES = """
facts:
  - {id: buy, event: keyed, fact_type: purchase, points: 1}
"""
_TIMEOUT_S = 90
_EACH = 25  # events acknowledged between two kills


@pytest.fixture
def valkey() -> Iterator[Valkey]:
    server = started()
    yield server
    server.remove()


class Sender:
    """Sends one event after the other: with a key until it is acknowledged, and without one once."""

    def __init__(self, server: Server, key: str) -> None:
        self.keyed: list[str] = []  # ids of those that were acknowledged
        self.plain: list[str] = []
        self.plain_sent = 0
        self._server = server
        headers = {"Authorization": f"Bearer {key}"}
        self._client = httpx.Client(headers=headers, timeout=30, trust_env=False, verify=False)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._done.set()
        self._thread.join(_TIMEOUT_S)
        assert not self._thread.is_alive()
        self._client.close()

    def _send(self) -> None:
        for number in itertools.count():
            if self._done.is_set():
                return
            while (acknowledged := self._post({"name": "keyed", "idempotency_key": f"k{number}"})) is None:
                time.sleep(0.02)
            self.keyed.append(acknowledged)
            self.plain_sent += 1
            if acknowledged := self._post({"name": "plain"}):
                self.plain.append(acknowledged)

    def _post(self, event: dict[str, str]) -> str | None:
        """The event's id; None if it was not acknowledged."""
        try:
            url = f"{self._server.url}/api/v1/events"
            answer = self._client.post(url, json=event | {"user_id": "u"})
        except httpx.HTTPError:
            return None
        assert answer.status_code in (201, 503), answer.text
        return answer.json()["data"]["id"] if answer.status_code == 201 else None

    def wait_for_more(self) -> None:
        enough, until = len(self.keyed) + _EACH, time.monotonic() + _TIMEOUT_S
        while len(self.keyed) < enough:
            assert time.monotonic() < until, len(self.keyed)
            time.sleep(0.01)


@pytest.mark.timeout(400)
def test_kills_of_the_server_and_of_its_log_lose_and_double_nothing(tmp_path: Path, valkey: Valkey) -> None:
    server = Server(tmp_path, {"HEADRACE_LOG_URL": valkey.url}).start()
    key = server.key()
    with server.client(key) as client:
        assert client.put("/api/v1/rules", content=RULES).status_code == 200
    sender = Sender(server, key)
    for victim in (server, valkey, server, valkey):
        sender.wait_for_more()
        victim.kill()
        victim.start()
    sender.wait_for_more()
    sender.stop()
    with server.client(key) as client:

        def total(name: str) -> int:
            # What could not read its log a few times in a row is asked again only once it has: until then queries are refused.
            ask = partial(client.get, "/api/v1/events/count", params={"name": name})
            answer: httpx.Response = until(ask, lambda answer: answer.status_code == 200)
            return answer.json()["data"]["total"]

        assert total("keyed") == len(sender.keyed) == len(set(sender.keyed))
        stored = {event["id"] for event in client.get("/api/v1/events?name=plain&limit=1000").json()["data"]}
        assert set(sender.plain) <= stored, "each that was acknowledged is there"
        assert len(set(sender.plain)) == len(sender.plain)
        assert total("plain") == len(stored) <= sender.plain_sent, "and none was sent twice"
        until(lambda: client.get("/api/v1/participants/u").status_code == 200)  # once everything was reacted to
    assert server.stop() == 0
    engine = open_database(tmp_path / "control.sqlite")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT sum(points) FROM points")) == len(sender.keyed), "each effect once"
    engine.dispose()
