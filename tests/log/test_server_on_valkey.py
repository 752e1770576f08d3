"""A server whose log is on Valkey: what it keeps there, what it answers without it, and the way there and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.assembly.log import LogOfFolder
from headrace.log.sqlite import SqliteLog
from headrace.model.entries import Entry
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from tests.server import Client, Server
from tests.valkey_server import Valkey, started, valkey
from tests.waiting import until

__all__ = ["valkey"]


@pytest.fixture
def own() -> Iterator[Valkey]:
    server = started()
    yield server
    server.remove()


def send(client: Client, *keys: str) -> list[str]:
    """Send an event for each message id. Returns their ids."""
    answers = [
        client.post("/api/v1/events", json={"name": "n", "user_id": "u", "idempotency_key": key}) for key in keys
    ]
    assert [answer.status_code for answer in answers] == [201] * len(keys), [answer.text for answer in answers]
    return [answer.json()["data"]["id"] for answer in answers]


def counted(client: Client) -> int:
    return client.get("/api/v1/events/count").json()["data"]["total"]


def database(valkey: Valkey, number: int) -> dict[str, str]:
    return {"HEADRACE_LOG_URL": f"{valkey.url}/{number}"}


@pytest.mark.timeout(400)
def test_a_server_keeps_its_log_there_over_kills_and_can_go_back_to_a_file(tmp_path: Path, valkey: Valkey) -> None:
    env = database(valkey, 1)
    server = Server(tmp_path, env).start()
    key = server.key()
    with server.client(key) as client:
        first = send(client, "a", "b", "c")
        assert counted(client) == 3
        assert client.get("/ready").json() == {"status": "ready", "log": "fsync"}
        assert 'headrace_log_durability{promise="fsync"} 1.0' in client.get("/metrics").text
        second = send(client, "d")
        server.kill()
    assert not (tmp_path / "log.sqlite").exists()
    server.start()
    with server.client(key) as client:
        assert counted(client) == 4
        assert send(client, "a", "d", "e")[:2] == [first[0], second[0]], "keys are known"
        assert counted(client) == 5
    assert server.stop() == 0
    embedded = Server(tmp_path).start()  # everything was stored, so the folder does not need that log any more
    with embedded.client(key) as client:
        assert send(client, "b", "f")[0] == first[1], "keys are learnt from the store"
        assert counted(client) == 6
        assert client.get("/ready").json() == {"status": "ready"}
    assert embedded.stop() == 0
    server = Server(tmp_path, env).start()
    with server.client(key) as client:
        assert send(client, "c", "f", "g")[0] == first[2]
        assert counted(client) == 7
    assert server.stop() == 0


@pytest.mark.timeout(400)
def test_without_its_log_a_server_accepts_and_answers_nothing_and_goes_on_by_itself(
    tmp_path: Path, own: Valkey
) -> None:
    server = Server(tmp_path, {"HEADRACE_LOG_URL": own.url, "HEADRACE_FRESHNESS_TIMEOUT_S": "5"}).start()
    try:
        with server.client(server.key()) as client:
            send(client, "a")
            assert counted(client) == 1
            own.kill()
            refused = client.post("/api/v1/events", json={"name": "n", "user_id": "u"})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
            assert "127.0.0.1" not in refused.text
            assert client.get("/api/v1/events/count").status_code == 503, "what it would not see cannot be known"
            until(lambda: client.get("/ready").status_code == 503)
            assert client.get("/ready").json()["status"] == "the log is failing; see the log"
            assert client.get("/metrics").status_code == 200
            own.start()
            until(lambda: client.get("/ready").status_code == 200)
            send(client, "a", "b")
            assert counted(client) == 2
    finally:
        assert server.stop() == 0


@pytest.mark.timeout(400)
def test_a_server_whose_log_is_away_still_shuts_down(tmp_path: Path, own: Valkey) -> None:
    server = Server(tmp_path, {"HEADRACE_LOG_URL": own.url}).start()
    with server.client(server.key()) as client:
        send(client, "a")
    own.kill()
    assert server.stop() == 0
    with pytest.raises(RuntimeError, match="HEADRACE_LOG_URL"):
        Server(tmp_path, {"HEADRACE_LOG_URL": own.url}).start()
    own.start()
    server.start()
    assert server.stop() == 0


def test_another_scheme_is_refused_and_the_password_not_shown() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_environ({"HEADRACE_LOG_URL": "redis://:s3cret@host"})
    assert "HEADRACE_LOG_URL" in refused.value.message
    assert "s3cret" not in refused.value.message


# The folder's note


def opened(folder: Path, url: str = "", **given: int) -> LogOfFolder:
    return LogOfFolder(Settings(data=folder, log_url=url), instance="i", **{"floor": 0, "done": 0} | given)


def test_a_file_with_events_that_are_not_stored_is_not_left_behind(tmp_path: Path, valkey: Valkey) -> None:
    file = SqliteLog(tmp_path / "log.sqlite", clock_ms=lambda: 1_736_899_200_000)
    last = file.append([Entry(b"a")])[0].position
    file.close()
    with pytest.raises(SettingsError, match="holds events that are not stored yet"):
        opened(tmp_path, f"{valkey.url}/2", done=last - 1)
    assert not (tmp_path / "log.json").exists()
    of_folder = opened(tmp_path, f"{valkey.url}/2", done=last, floor=last)
    assert of_folder.log.append([Entry(b"b")])[0].position > last
    of_folder.log.close()


def test_a_log_on_a_server_is_not_left_behind_until_everything_in_it_is_stored(tmp_path: Path, valkey: Valkey) -> None:
    of_folder = opened(tmp_path, f"{valkey.url}/3")
    last = of_folder.log.append([Entry(b"a")])[0].position
    of_folder.settled(last - 1)
    with pytest.raises(SettingsError, match=f"this folder's log is at {valkey.url}/3"):
        opened(tmp_path)
    of_folder.settled(last)
    of_folder.log.close()
    embedded = opened(tmp_path, floor=last)
    assert embedded.log.append([Entry(b"b")])[0].position > last
    embedded.log.close()


def test_a_server_that_lost_the_log_is_told_at_the_next_start(tmp_path: Path, valkey: Valkey) -> None:
    opened(tmp_path, f"{valkey.url}/4").log.close()
    again = opened(tmp_path, f"{valkey.url}/4")
    assert again.missing == ""
    again.log.close()
    valkey.client.execute_command("SWAPDB", 4, 5)
    lost = opened(tmp_path, f"{valkey.url}/4")
    assert "not stored yet are missing" in lost.missing
    assert again.log.durability == lost.log.durability == "fsync"
    lost.log.close()


def test_an_open_request_for_a_log_needs_the_driver_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "headrace.log.valkey.server", None)
    with pytest.raises(SettingsError, match=r"pip install 'headrace\[scale\]'"):
        opened(tmp_path, "valkey://host")
