"""A data folder of which parts are lost, or put back from an older copy."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.crash.test_check import run as check
from tests.crash.test_disk import send_keyed, stored
from tests.server import Client, Server

# So that the log's own copy of the keys is gone at once, and only the index and the store have them.
TRIMMED = {"HEADRACE_LOG_KEEP_S": "0.001"}


def trim_all(client: Client, server: Server) -> None:
    """Send until the log has let go of what came before."""
    while True:
        client.post("/v1/admin/events/replay", json={"filter": {"event": "none"}})
        send_keyed(client, range(-1, 0))
        text = client.get("/metrics").text
        held = next(line for line in text.splitlines() if line.startswith("headrace_log_bytes "))
        if float(held.split()[1]) == 0:
            return


@pytest.mark.parametrize("lost", ["index", "index and log", "index of the first layout"])
def test_keys_whose_index_is_lost_are_learnt_again_from_the_store(tmp_path: Path, lost: str) -> None:
    server = Server(tmp_path, TRIMMED).start()
    key = server.key()
    with server.client(key) as client:
        sent = send_keyed(client, range(30))
        trim_all(client, server)
        count = len(stored(client))
    server.kill()
    if lost == "index of the first layout":  # which had no generations, beside a log that had no mark of its last key
        [generation] = (tmp_path / "log.keys").iterdir()
        shutil.copytree(generation, tmp_path / "log.keys", dirs_exist_ok=True)
        shutil.rmtree(generation)
        with contextlib.closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as log:
            assert log.execute("DELETE FROM marks WHERE name = 'keyed'").rowcount == 1
    else:
        shutil.rmtree(tmp_path / "log.keys")
    if lost == "index and log":
        for file in tmp_path.glob("log.sqlite*"):
            file.unlink()
    server = Server(tmp_path, TRIMMED).start()
    with server.client(key) as client:
        assert len(stored(client)) == count, "and no query waits for what a lost log has given"
        assert send_keyed(client, range(30)) == sent
        assert len(stored(client)) == count
    server.kill()
    assert any(line.get("event") == "known_keys_relearnt" for line in server.logs)
    server = Server(tmp_path, TRIMMED).start()
    assert not any(line.get("event") == "known_keys_relearnt" for line in server.logs), "nothing is missing now"
    with server.client(key) as client:
        assert send_keyed(client, range(30)) == sent
    assert server.stop() == 0


def test_a_retry_of_what_an_older_copy_of_the_folder_lacks_is_stored_and_not_taken_for_a_repeat(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    server = Server(data).start()
    key = server.key()
    with server.client(key) as client:
        before = send_keyed(client, range(20))
        assert stored(client) == before
    assert server.stop() == 0
    shutil.copytree(data, copy, symlinks=True)
    server.start()
    with server.client(key) as client:
        lost = send_keyed(client, range(20, 40))
        assert stored(client) == before | lost
    assert server.stop() == 0
    # Everything is put back but the index, which someone forgot.
    shutil.rmtree(copy / "log.keys")
    shutil.move(data / "log.keys", copy / "log.keys")
    shutil.rmtree(data)
    shutil.move(copy, data)

    server.start()
    with server.client(key) as client:
        assert stored(client) == before
        assert send_keyed(client, range(20)) == before, "what is there is known"
        again = send_keyed(client, range(20, 40))
        assert not again.keys() & lost.keys(), "what is lost is taken once more"
        assert send_keyed(client, range(20, 40)) == again
        assert stored(client) == before | again
        again |= send_keyed(client, range(40, 50))
    server.kill()
    server.start()
    with server.client(key) as client:
        assert send_keyed(client, range(20, 50)) == again
        assert stored(client) == before | again
    assert any(line.get("event") == "log_is_older_than_keys" for line in server.logs)
    assert server.stop() == 0


def test_keys_of_what_a_cut_back_log_lacks_and_the_store_has_are_learnt_again(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    server = Server(data).start()
    key = server.key()
    with server.client(key) as client:
        sent = send_keyed(client, range(10))
    assert server.stop() == 0
    copy.mkdir()
    shutil.copy(data / "log.sqlite", copy)
    server.start()
    with server.client(key) as client:
        sent |= send_keyed(client, range(10, 20))
        assert stored(client) == sent
    server.kill()  # so the index has written down nothing of the second ten
    for file in data.glob("log.sqlite*"):
        file.unlink()
    shutil.move(copy / "log.sqlite", data)

    server.start()
    with server.client(key) as client:
        assert send_keyed(client, range(20)) == sent
        sent |= send_keyed(client, range(20, 25))
        assert stored(client) == sent
    assert server.stop() == 0


def test_a_store_that_is_gone_when_the_log_holds_no_copy_is_told_by_the_start_and_by_a_check(tmp_path: Path) -> None:
    server = Server(tmp_path, TRIMMED).start()
    with server.client(server.key()) as client:
        send_keyed(client, range(5))
        trim_all(client, server)
    assert server.stop() == 0
    assert check(tmp_path)[1].problems == []
    (tmp_path / "store").rename(tmp_path / "not mounted")
    code, report = check(tmp_path)
    assert code == 1
    assert report.problems == [f"Control has committed position {report.committed}, but the store ends at 0."]
    server.start()
    assert server.stop() == 0
    assert any(line.get("event") == "store_is_behind" for line in server.logs)
