"""`headrace doctor`: each thing that can be wrong with a set-up is found, alone, and comes with what to do."""

import os
import re
import socket
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from headrace.cli.doctor import examine, gather, render
from headrace.control.database import open_database
from headrace.http.serve import FILES_OF_ENGINES
from headrace.model.settings import Settings
from headrace.upkeep.diagnosis import FILES_BESIDE_CONNECTIONS, GIB, Facts, diagnose
from tests.forks import run as run_forked
from tests.server import Server

GOOD = Facts(python="3.11.7", is_tried_python=True, folder="usable", now_ms=1_000_000_000_000)


def verdicts(settings: Settings, facts: Facts) -> dict[str, str]:
    return {each.subject: each.verdict for each in diagnose(settings, facts) if each.verdict != "ok"}


def test_nothing_is_wrong_with_a_good_set_up_and_each_subject_is_named():
    findings = diagnose(Settings(), GOOD)
    assert {each.verdict for each in findings} == {"ok"}
    subjects = ["python", "settings", "folder", "disk", "memory", "open files", "port", "clock"]
    assert [each.subject for each in findings] == [*subjects, "control database", "store engine"]


@pytest.mark.parametrize(
    ("change", "subject", "verdict", "remedy"),
    [
        ({"is_tried_python": False}, "python", "problem", "3.11"),
        ({"folder": "unusable", "folder_problem": "it is not a folder"}, "folder", "problem", "HEADRACE_DATA"),
        ({"filesystem": "nfs4"}, "folder", "problem", "local disk"),
        ({"filesystem": "tmpfs"}, "folder", "problem", "disk"),
        ({"mode": 0o750}, "folder", "warning", "chmod 700"),
        ({"is_ours": False}, "folder", "warning", "owner"),
        ({"free_bytes": GIB - 1}, "disk", "problem", "Free space"),
        ({"free_bytes": 7 * GIB}, "disk", "warning", "HEADRACE_LOG_MAX_BYTES"),
        ({"free_inodes": 9_999}, "disk", "problem", "small files"),
        ({"memory_bytes": GIB}, "memory", "warning", "HEADRACE_QUERY_MAX_MEMORY_BYTES"),
        ({"memory_bytes": GIB // 2}, "memory", "problem", "more memory"),
        ({"files_limit": 1024}, "open files", "warning", "ulimit -n"),
        ({"port": "taken"}, "port", "problem", "HEADRACE_PORT"),
        ({"port": "not allowed"}, "port", "problem", "1024"),
        ({"port": "no address"}, "port", "problem", "HEADRACE_HOST"),
        ({"last_event_ms": 1_000_000_060_001}, "clock", "problem", "NTP"),
        ({"database": "It is damaged."}, "control database", "problem", "backup"),
        ({"engine": "It cannot be loaded."}, "store engine", "problem", "glibc"),
        ({"log_server": "HEADRACE_LOG_URL is not set."}, "log server", "problem", "scale.md"),
        ({"refusal": "HEADRACE_PUBLIC_URL: expected a URL"}, "settings", "problem", "headrace settings"),
    ],
)
def test_each_fault_is_found_alone_with_its_remedy(change: dict[str, Any], subject: str, verdict: str, remedy: str):
    facts = msgspec.structs.replace(GOOD, **change)
    assert verdicts(Settings(), facts) == {subject: verdict}
    [found] = [each for each in diagnose(Settings(), facts) if each.verdict != "ok"]
    assert remedy in found.remedy
    assert found.text.endswith(".") or ":" in found.text


def test_the_files_that_a_server_needs_are_those_that_it_counts():
    assert FILES_BESIDE_CONNECTIONS == FILES_OF_ENGINES


def test_what_the_limits_allow_is_added_up():
    settings = Settings(
        query_readers=2, query_max_memory_bytes=GIB, max_bodies_bytes=GIB, intake_queue_bytes=GIB, max_unread_bytes=GIB
    )
    enough = 6 * GIB
    assert verdicts(settings, msgspec.structs.replace(GOOD, memory_bytes=enough)) == {}
    assert verdicts(settings, msgspec.structs.replace(GOOD, memory_bytes=4 * GIB)) == {"memory": "warning"}


def test_a_folder_that_is_not_there_yet_is_no_fault():
    for folder, said in (("absent", "will be made by the first start"), ("usable", "can be written")):
        findings = diagnose(Settings(), msgspec.structs.replace(GOOD, folder=folder))
        assert next(each for each in findings if each.subject == "folder").text.endswith(f"{said}.")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_plain_http_for_other_machines_is_warned_of_unless_a_proxy_is_trusted(host: str):
    assert verdicts(Settings(host=host), GOOD) == {"exposure": "warning"}
    assert verdicts(Settings(host=host, trusted_proxies="10.0.0.0/8"), GOOD) == {}


def test_the_server_that_runs_on_the_folder_is_no_fault():
    assert verdicts(Settings(), msgspec.structs.replace(GOOD, port="ours")) == {}


def test_a_look_makes_nothing(tmp_path: Path):
    facts = gather(Settings(data=tmp_path / "new", port=0))
    assert (facts.folder, facts.database, facts.last_event_ms) == ("absent", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_found(tmp_path: Path):
    (tmp_path / "file").write_text("")
    facts = gather(Settings(data=tmp_path / "file", port=0))
    assert (facts.folder, facts.folder_problem) == ("unusable", "it is not a folder")


def test_a_port_that_another_program_has_is_found(tmp_path: Path):
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        assert gather(Settings(data=tmp_path, port=other.getsockname()[1])).port == "taken"
    assert gather(Settings(data=tmp_path, host="192.0.2.1", port=0)).port == "no address"


def test_a_database_that_is_none_or_of_a_newer_program_is_found(tmp_path: Path):
    path = tmp_path / "control.sqlite"
    path.write_text("not a database, although it is long enough to be mistaken for one")
    assert "cannot be opened" in gather(Settings(data=tmp_path, port=0)).database
    path.unlink()
    open_database(path).dispose()
    assert gather(Settings(data=tmp_path, port=0)).database == ""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    assert "9999, newer than this headrace" in gather(Settings(data=tmp_path, port=0)).database


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"role": "gateway"}, "HEADRACE_LOG_URL"),
        ({"log_partitions": 2}, "HEADRACE_LOG_PARTITIONS"),
        ({"public_url": "events.example.com"}, "HEADRACE_PUBLIC_URL"),
        ({"trusted_proxies": "10.0.0.0/40"}, "HEADRACE_TRUSTED_PROXIES"),
        ({"webhook_allowed_networks": "10.1.2.3/8"}, "HEADRACE_WEBHOOK_ALLOWED_NETWORKS"),
        ({"export_to": "/dev/null/events"}, "HEADRACE_EXPORT_TO"),
        ({"admin_key": "secret\n"}, "HEADRACE_ADMIN_KEY"),
    ],
)
def test_a_setting_that_a_start_refuses_is_found(tmp_path: Path, given: dict[str, Any], named: str):
    settings = Settings(data=tmp_path, port=0, **given)
    assert named in gather(settings).refusal
    assert verdicts(settings, gather(settings))["settings"] == "problem"


def test_an_exporter_of_telemetry_that_a_start_refuses_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "jaeger")
    assert "OTEL_TRACES_EXPORTER" in gather(Settings(data=tmp_path, port=0)).refusal


def test_a_folder_that_a_start_refuses_is_found(tmp_path: Path):
    def problem(data: Path) -> str:
        facts = gather(Settings(data=data, port=0))
        assert facts.folder == "unusable"
        return facts.folder_problem

    (tmp_path / "linked").symlink_to(tmp_path / "not mounted")
    assert "not mounted, which does not exist" in problem(tmp_path / "linked")
    data = tmp_path / "data"
    data.mkdir()
    (data / "store").symlink_to(tmp_path / "not mounted")
    assert "store is a link" in problem(data)
    (data / "store").unlink()
    (data / ".restoring").mkdir()
    assert "restore into it was cut off" in problem(data)


def test_a_folder_whose_log_is_on_a_server_that_no_setting_names_is_found(tmp_path: Path):
    note = {"shown": "valkey://10.0.0.5:6379/0", "log": "a", "settled": False}
    (tmp_path / "log.json").write_bytes(msgspec.json.encode(note))
    assert "valkey://10.0.0.5:6379/0" in gather(Settings(data=tmp_path, port=0)).log_server
    (tmp_path / "log.json").write_bytes(msgspec.json.encode(note | {"settled": True}))
    assert gather(Settings(data=tmp_path, port=0)).log_server == ""


def test_a_newest_event_from_the_future_is_found(tmp_path: Path):
    now_ms = gather(Settings(data=tmp_path, port=0)).now_ms
    with closing(sqlite3.connect(tmp_path / "log.sqlite")) as log:
        log.execute("CREATE TABLE chunks (last INTEGER)")
        log.execute("CREATE TABLE marks (name TEXT, value INTEGER)")
        log.execute("INSERT INTO chunks VALUES (?)", ((now_ms + 3_600_000) << 20,))
        log.commit()
    findings = examine(Settings(data=tmp_path, port=0))
    [clock] = [each for each in findings if each.subject == "clock"]
    assert (clock.verdict, re.findall(r"\d+ minutes", clock.text)) == ("problem", ["60 minutes"])


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """Like `tmp_path`, and never in memory, which the command warns of."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def test_on_a_running_servers_folder_the_command_finds_nothing_wrong(disk_path: Path):
    server = Server(disk_path / "data").start()
    try:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
        command = [sys.executable, "-m", "headrace.cli.main", "doctor", "--data", str(disk_path / "data")]
        shown = run_forked(command, environ)
        assert "ok    port: The server of this folder is running." in shown.stdout
        failures = [line for line in shown.stdout.splitlines() if line.startswith("FAIL")]
        assert (failures, shown.returncode) == ([], 0)
    finally:
        assert server.stop() == 0


def test_a_finding_is_a_line_and_its_remedy_another():
    findings = diagnose(Settings(), msgspec.structs.replace(GOOD, port="taken"))
    lines = render(findings).splitlines()
    at = lines.index("FAIL  port: Another program listens on 127.0.0.1:8080.")
    assert lines[at + 1] == "      Stop it, or set HEADRACE_PORT or --port."


def test_a_store_on_a_server_is_examined_too():
    split = Settings(store_url="http://c:8123/d", control_url="postgresql://p/d")
    assert verdicts(split, GOOD) == {}
    away = msgspec.structs.replace(GOOD, store_server="HEADRACE_STORE_URL: The store at http://c:8123/d cannot be used")
    assert verdicts(split, away) == {"store server": "problem"}
    assert verdicts(Settings(store_url="http://c:8123/d"), GOOD) == {"store server": "problem"}, "it needs leases"
