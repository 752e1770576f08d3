"""Nothing that an erased person sent is left in a file, once the engine has merged; through real processes and the real store."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.people import ALICE, SECRETS, fill, people, send, set_up
from tests.crash.test_erasing_people import SETTINGS, erase, settle, wait_until_done
from tests.server import Server

_MERGES = """
import sys, time
from pathlib import Path
from headrace.store.clickhouse import ClickHouseStore

store = ClickHouseStore("chdb://" + sys.argv[1])
with store.engine.writers.lend() as client:
    tables = ("events", "erasing", "merged_ids")
    for table in tables:
        client.command(f"ALTER TABLE {table} MODIFY SETTING old_parts_lifetime = 1, cleanup_delay_period = 1, max_cleanup_delay_period = 1")
    client.command("OPTIMIZE TABLE events FINAL")
    for table in tables:  # its cleaner would sleep for another half a minute by the old setting
        client.command(f"DETACH TABLE {table} SYNC")
        client.command(f"ATTACH TABLE {table}")
        client.command(f"SYSTEM WAIT LOADING PARTS {table}")  # those that are old come later, and are then to be unlinked
    old = f"SELECT count() FROM system.parts WHERE NOT active AND table IN {tables}"
    while client.raw_query(old, fmt="TabSeparated").decode().strip() != "0":
        time.sleep(0.2)
    print(client.raw_query("SELECT * FROM events", fmt="JSONEachRow").decode())
store.close()
"""


def merged(data: Path) -> str:
    """Have the engine merge and unlink old files, in a folder that no server holds; everything that it still has."""
    done = subprocess.run(
        [sys.executable, "-c", _MERGES, str(data / "store")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def found_in(data: Path) -> dict[str, set[str]]:
    """By secret: the files that hold it, as it is or in hexadecimal digits."""
    found: dict[str, set[str]] = {}
    for file in sorted(data.rglob("*")):
        if file.is_file():
            content = file.read_bytes()
            for secret in SECRETS:
                if secret.encode() in content or secret.encode().hex().encode() in content:
                    found.setdefault(secret, set()).add(str(file.relative_to(data)))
    return found


@pytest.mark.timeout(300)
def test_no_file_holds_anything_of_an_erased_person(tmp_path: Path) -> None:
    server = Server(tmp_path, SETTINGS).start()
    key = server.key()
    with server.client(key) as client:
        set_up(client)
        fill(client)
        settle(client)
        before = found_in(tmp_path)
        assert set(before) == set(SECRETS), "or the search would prove nothing"
        wait_until_done(client, erase(client, ALICE[0]))
        settle(client)
        left = found_in(tmp_path)
        files = {file for places in left.values() for file in places if not file.startswith("store/")}
        assert files == set(), "the log and control, with the write-ahead files"
    assert server.stop() == 0
    rows = merged(tmp_path)
    assert "bob" in rows
    assert not any(secret in rows for secret in SECRETS)
    assert found_in(tmp_path) == {}
    with closing(sqlite3.connect(tmp_path / "control.sqlite")) as control:
        assert control.execute("SELECT ids FROM erasures").fetchall() == [("[]",)]


@pytest.mark.timeout(300)
def test_the_disk_shrinks_once_the_engine_has_merged(tmp_path: Path) -> None:
    server = Server(tmp_path, SETTINGS).start()
    key = server.key()
    noise = [f"{number:032x}{number * 7919:040x}" for number in range(3000)]
    with server.client(key) as client:
        items = [
            {"type": "track", "event": "e", "userId": "big", "messageId": text, "properties": {"text": text * 20}}
            for text in noise
        ]
        for start in range(0, len(items), 100):
            send(client, items[start : start + 100])
        send(client, people()["bob"])
        assert client.get("/api/v1/events/count").json()["data"]["total"] == 3000 + len(people()["bob"])
        before = size(tmp_path)
        done = wait_until_done(client, erase(client, "big"))
        assert done["removed"]["events"] == done["removed"]["log_entries"] == 3000
    assert server.stop() == 0
    merged(tmp_path)
    assert size(tmp_path) < before / 3


def size(data: Path) -> int:
    kept = [file for file in data.rglob("*") if file.is_file() and "log.keys" not in file.parts]
    return sum(file.stat().st_size for file in kept)
