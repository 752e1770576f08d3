"""A server that is killed as it gives, fills or drops a column answers as a list does, before and after."""

import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from headrace.assembly.folder import address_in
from tests.moving.test_backup import back_up, restore
from tests.server import Client, Server
from tests.waiting import ask_until_killed, until

SETTINGS = {"HEADRACE_OWN_COLUMNS_AFTER_S": "0.000001", "HEADRACE_OWN_COLUMNS": "20"}
# A column goes once no query can still read it.
SHORT = {"HEADRACE_OWN_COLUMNS_KEEP_S": "3", "HEADRACE_QUERY_TIMEOUT_S": "5"}
STEPS = (
    *("column_added", "column_filling", "column_filled", "counts_added", "counts_filling"),
    *("column_retired", "column_dropped"),
)
VALUES: tuple[Any, ...] = ("web", "5", 5, 5.5, True, None, "", {"deep": 1}, "null")


def send(client: Client, events: list[dict[str, Any]], count: int) -> None:
    new = [
        {
            "name": "seen",
            "user_id": f"u{number % 7}",
            "timestamp": f"2025-01-{1 + number % 2:02d}T00:00:00Z",  # so few times that counts are worth it
            "tags": {"plan": ("free", "pro", "")[number % 3]} if number % 5 else {},
            "properties": {"channel": VALUES[number % len(VALUES)], "amount": number % 11},
        }
        for number in range(len(events), len(events) + count)
    ]
    assert client.post("/api/v1/events/batch", json=new).status_code == 201
    events += new


def asked(client: Client) -> list[Any]:
    def query(**body: Any) -> Any:
        found = client.post("/api/v1/query", json=body).json()["data"]
        return found["value"], {group["key"][0]: group["value"] for group in found.get("groups") or ()}

    return [
        query(filters=[{"field": "tags.plan", "value": "pro"}], breakdown=["name"]),
        query(breakdown=["tags.plan"]),
        query(breakdown=["properties.channel"]),
        *(query(filters=[{"field": "properties.channel", "value": each}]) for each in ("web", "5", 5, True, "null")),
        query(filters=[{"field": "properties.amount", "op": ">", "value": 5}]),
        query(measure="sum", field="properties.amount"),
    ]


def expected(events: list[dict[str, Any]]) -> list[Any]:
    def text(value: Any) -> str | None:
        shown = {True: "true", 5: "5", 5.5: "5.5"}
        if value is None or isinstance(value, str):
            return value
        return '{"deep":1}' if isinstance(value, dict) else shown[value]

    channels = [event["properties"]["channel"] for event in events]
    plans = Counter(event["tags"].get("plan") for event in events)
    amounts = [event["properties"]["amount"] for event in events]
    texts = Counter(map(text, channels))
    return [
        (plans["pro"], {"seen": plans["pro"]}),
        (len(events), dict(plans)),
        (len(events), dict(texts)),
        *(
            (count, {})
            for count in (texts["web"], texts["5"], channels.count(5), _count(channels, True), texts["null"])
        ),
        (sum(amount > 5 for amount in amounts), {}),
        (sum(amounts), {}),
    ]


def _count(channels: list[Any], value: object) -> int:
    return sum(each is value for each in channels)


def columns(server: Server, field: str = "state") -> dict[tuple[str, str], str]:
    """The state of each, or of its counts; to be asked has the server look."""
    token = address_in(server.data).token
    url, headers = f"{server.url}/internal/columns", {"Authorization": f"Bearer {token}"}
    reply = httpx.get(url, headers=headers, timeout=60, verify=False)
    assert reply.status_code == 200, reply.text
    return {(each["kind"], ".".join(each["path"])): each[field] for each in reply.json()}


ALL = {("tag", "plan"), ("property", "channel"), ("number", "channel"), ("number", "amount")}


def ask_until_complete(server: Server, client: Client, events: list[dict[str, Any]]) -> None:
    """What is asked gets columns; meanwhile, too, every answer is that of a list."""

    def look() -> dict[tuple[str, str], str]:
        assert asked(client) == expected(events)
        return columns(server)

    until(look, lambda found: found == dict.fromkeys(ALL, "complete"))
    until(lambda: columns(server, "counts")["tag", "plan"], lambda state: state == "complete")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("step", STEPS)
def test_answers_are_those_of_a_list_whenever_a_server_is_killed(tmp_path: Path, step: str) -> None:
    is_dropping = step in ("column_retired", "column_dropped")
    dying = [sys.executable, "-m", "tests.crash.serve_and_die", f"{step}:1"]
    events: list[dict[str, Any]] = []
    settings = SETTINGS | (SHORT if is_dropping else {})
    server = Server(tmp_path, settings, dying).start()
    key = server.key()
    with server.client(key) as client:
        send(client, events, 50)

        def look() -> None:
            if not (is_dropping and columns(server)):  # else nobody asks until one goes
                assert asked(client) == expected(events)
                columns(server)

        with pytest.raises(httpx.TransportError):
            ask_until_killed(look)
    assert server.wait() == -signal.SIGKILL
    server = Server(tmp_path, SETTINGS).start()
    with server.client(key) as client:
        assert asked(client) == expected(events)
        send(client, events, 20)
        ask_until_complete(server, client, events)
        assert asked(client) == expected(events)
    assert server.stop() == 0


@pytest.mark.timeout(300)
def test_columns_outlive_a_restart_and_a_restored_backup_answers_without_them(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    server = Server(tmp_path / "data", SETTINGS).start()
    key = server.key()
    with server.client(key) as client:
        send(client, events, 60)
        ask_until_complete(server, client, events)
        metrics = client.get("/metrics").text
        assert "headrace_own_columns_given_total 4.0" in metrics
        assert client.delete("/api/v1/users/u3").status_code in (200, 202)
        events[:] = [event for event in events if event["user_id"] != "u3"]
        until(lambda: asked(client) == expected(events))
    back_up(tmp_path / "data", tmp_path / "backups")
    assert server.stop() == 0
    server = Server(tmp_path / "data", SETTINGS).start()
    assert columns(server) == dict.fromkeys(ALL, "complete")
    assert server.stop() == 0
    restore(tmp_path / "backups", tmp_path / "restored")
    server = Server(tmp_path / "restored", SETTINGS | {"HEADRACE_OWN_COLUMNS": "0"}).start()
    with server.client(key) as client:
        assert asked(client) == expected(events)
        assert columns(server) == {}
        send(client, events, 9)
        assert asked(client) == expected(events)
    assert server.stop() == 0
