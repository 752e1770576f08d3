"""Files of the data folder that are damaged or not what they should be: said at start, by a check, by /ready, and in one line."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.crash.test_check import run as check
from tests.crash.test_disk import send, stored
from tests.forks import run as run_forked
from tests.server import Server


def damage_a_page(path: Path, holding: bytes) -> None:
    """Overwrite the page of a database that holds these bytes, past its header: its table is not readable there any more."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    at = content.rfind(holding)
    assert at > 4096, "not in the first page, which holds the schema"
    start = at // 4096 * 4096
    content[start : start + 64] = b"\xff" * 64
    path.write_bytes(content)


@pytest.fixture(scope="module")
def worked_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a server has worked, to copy: to have one work in each test's own takes longer than the rest of it."""
    data = tmp_path_factory.mktemp("worked_in") / "data"
    server = Server(data).start()
    with server.client(server.key()) as client:
        sent = send(client, 5)
        assert stored(client) == sent
    assert server.stop() == 0
    return data


@pytest.fixture
def data(worked_in: Path, tmp_path: Path) -> Path:
    """A folder in which a server has worked, of the test's own."""
    return shutil.copytree(worked_in, tmp_path / "data", symlinks=True)


def test_a_damaged_page_of_control_is_said_at_start_by_ready_and_by_a_check(data: Path) -> None:
    with closing(sqlite3.connect(data / "control.sqlite", isolation_level=None)) as control:
        [(columns,)] = control.execute("SELECT count(*) FROM pragma_table_info('replies')")
        assert columns
        for number in range(200):
            control.execute("INSERT INTO projects VALUES (?, 1)", (f"a-project-of-a-test-{number}",))
    damage_a_page(data / "control.sqlite", b"a-project-of-a-test-150")
    code, report = check(data)
    assert code == 1
    [problem, *_] = report.problems
    assert problem.startswith(f"The control database {data / 'control.sqlite'} is damaged: ")
    assert "put back a copy" in problem
    server = Server(data).start()
    assert [line["level"] for line in server.logs if line.get("event") == "folder_damaged"] == ["error"]
    with server.client() as client:
        ready = client.get("/ready").json()
        assert "headrace check" in ready["problems"][0]
        assert str(data) not in ready["problems"][0]
    code, report = check(data)
    assert (code, report.problems[0][:20]) == (1, "The control database")
    server.kill()


def test_a_sound_folder_has_no_problems(data: Path) -> None:
    assert check(data)[1].problems == []
    server = Server(data).start()
    with server.client() as client:
        assert client.get("/ready").json() == {"status": "ready"}
    assert server.stop() == 0


def serve(data: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "headrace.cli.main", "serve", "--port", "0", "--data", str(data)]
    return run_forked(command)


def in_the_place_of(name: str, what: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        path = data / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        if what == "a folder":
            path.mkdir()
            (path / "something").write_text("in it")
        elif what == "a file":
            path.write_text("what is this")
        elif what == "a pipe":
            os.mkfifo(path)
        elif what == "a link to nowhere":
            path.symlink_to(data / "nowhere" / name)
        else:
            path.symlink_to(path)

    return change


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("control.sqlite", "a folder"),
        ("control.sqlite", "a file"),
        ("control.sqlite", "a link to nowhere"),
        ("control.sqlite", "a link to itself"),
        ("log.sqlite", "a folder"),
        ("log.sqlite", "a file"),
        ("log.sqlite", "a link to nowhere"),
        ("log.keys", "a file"),
        ("log.keys", "a link to nowhere"),
        ("store", "a file"),
        ("store", "a link to nowhere"),
        ("store", "a link to itself"),
        ("lock", "a folder"),
        ("lock", "a link to nowhere"),
        ("reacting", "a folder"),
        ("reacting", "a link to nowhere"),
        ("server.json", "a folder"),
        ("lock", "a pipe"),
        ("tmp", "a link to itself"),
        ("tmp", "a pipe"),
    ],
)
def test_a_start_on_a_folder_that_cannot_be_used_ends_in_one_line(data: Path, name: str, what: str) -> None:
    in_the_place_of(name, what)(data)
    if name == "tmp":  # nobody's data: it is put right
        server = Server(data).start()
        assert server.stop() == 0
        return
    done = serve(data)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("headrace: ")
    assert "Traceback" not in done.stderr
    assert name in lines[0] or str(data) in lines[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
@pytest.mark.parametrize("name", ["control.sqlite", "log.sqlite", "log.keys", "store", "tmp", "lock", "reacting"])
def test_a_start_on_a_folder_with_wrong_modes_ends_in_one_line(data: Path, name: str) -> None:
    (data / name).chmod(0)
    done = serve(data)
    (data / name).chmod(0o700)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr


@pytest.mark.parametrize("missing", ["control.sqlite", "log.sqlite", "store", "store/metadata", "log.keys"])
def test_half_a_restore_starts_or_ends_in_one_line(data: Path, missing: str) -> None:
    for path in [data / missing, *data.glob(f"{missing}-*")]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    server = Server(data)
    server.begin()
    try:
        server.wait_until_listening()
    except RuntimeError:
        assert not any("Traceback" in line.get("event", "") for line in server.logs), server.logs
        return
    said = [line["problem"] for line in server.logs if line["event"] == "folder_incomplete"]
    with server.client() as client:
        ready = client.get("/ready")
        assert ready.status_code == 200
        assert any("was missing" in each for each in ready.json().get("problems", [])) is bool(said)
    if missing.endswith(".sqlite"):
        [problem] = said
        assert missing in problem
        assert "put it back" in problem
    assert server.stop() == 0


def test_a_new_folder_lacks_nothing(tmp_path: Path) -> None:
    for _ in range(2):  # the second time it is there, and has never held an event
        server = Server(tmp_path / "new").start()
        with server.client() as client:
            assert client.get("/ready").json() == {"status": "ready"}
        assert server.stop() == 0
