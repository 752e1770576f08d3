"""Whoever was erased after a backup was made is erased again when it is restored; through real processes."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.people import ALICE, SECRETS, figures, fill, people, send, set_up
from tests.crash.restore_and_die import died_at
from tests.crash.test_erased_files import found_in, merged
from tests.crash.test_erasing_people import SETTINGS, erase, settle, wait_until_done
from tests.forks import run as run_forked
from tests.moving.test_backup import back_up, command, restore
from tests.moving.test_commands import environ
from tests.server import Server

LATE = "anon-late-3d41f7aa"
# All others were tried as well: ("filled", "insert", "adopted", *STEPS, "finished"). A restore takes seconds.
RESTORE_STEPS = ("adopted", "detached", "redacted", "finished")


@pytest.mark.timeout(400)
def test_whoever_was_erased_since_is_as_one_that_never_was_though_the_old_server_is_lost(tmp_path: Path) -> None:
    """And though the restore is killed after each of its steps, and run again."""
    server = Server(tmp_path / "data", SETTINGS).start()
    whole, spared = server.key("whole"), server.key("spared")
    with server.client(whole) as client, server.client(spared) as other:
        for each, without in ((client, ""), (other, "alice")):
            set_up(each)
            fill(each, without=without)
            settle(each)
        # A visitor that only later turns out to be the same person.
        send(client, [{"type": "track", "event": "page.viewed", "anonymousId": LATE, "messageId": "late-1"}])
        client.get("/api/v1/events/count")
        folder = tmp_path / "backups"
        back_up(server.data, folder)
        send(client, [{"type": "identify", "userId": ALICE[0], "anonymousId": LATE, "messageId": "late-2"}])
        wait_until_done(client, erase(client, ALICE[1]))
    server.kill()
    shutil.rmtree(server.data)
    [notice] = (folder / "erasures").iterdir()
    assert not any(secret in notice.read_text() for secret in (*SECRETS, LATE))

    new = tmp_path / "new"
    killed = run_forked(died_at(folder, new, RESTORE_STEPS), environ(), timeout=200)
    assert killed.returncode == 0, killed.stderr
    assert restore(folder, new)["erasures"] == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["backups", "new"], "nothing of those that were killed"
    assert command("audit", "--action", "restore", "--data", new).stdout.count("\n") == 2
    files = {file for places in found_in(new).values() for file in places if not file.startswith("store/")}
    assert files == set(), "the log and control, before any server has started"
    restored = Server(new, SETTINGS).start()
    with restored.client(whole) as client, restored.client(spared) as other:
        assert figures(client) == figures(other)
        for user_id in (*ALICE, LATE):
            assert client.get(f"/api/v1/users/{user_id}").status_code == 404
        send(client, people()["alice"])  # late retries
        assert figures(client) == figures(other)
        # An event of the same id is about somebody new, whom a backup of this server keeps.
        send(client, [{"type": "track", "event": "page.viewed", "userId": "bob-2", "messageId": "new"}])
        send(client, [{"type": "track", "event": "page.viewed", "userId": LATE, "messageId": "new-2"}])
        client.get("/api/v1/events/count")
    back_up(new, folder)
    assert restored.stop() == 0
    rows = merged(new)
    assert "bob" in rows
    assert found_in(new) == {}
    assert restore(folder, tmp_path / "newer")["erasures"] == 0
    with closing(sqlite3.connect(tmp_path / "newer" / "control.sqlite")) as control:
        assert control.execute("SELECT count(*) FROM participants WHERE name = ?", (LATE,)).fetchone() == (1,)
