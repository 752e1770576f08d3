"""A server whose lines of log cannot be written: who read them is gone, or their disk is full."""

import json
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest

from headrace.assembly.folder import address_in
from tests.crash.test_disk import send, stored
from tests.server import Server
from tests.waiting import until


@pytest.mark.timeout(300)  # without a worker it would wait for ever
@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_server_that_cannot_log_a_failure_goes_on_after_it(tmp_path: Path, unbuffered: str) -> None:
    told = tmp_path / "told"
    told.write_text("ok")
    read_until_it_listens = ["bash", "-c", 'exec "$@" 2> >(grep -m 1 listening >&2)', "bash"]
    command = [*read_until_it_listens, sys.executable, "-m", "tests.guarantees.serve_on_bad_store", str(told)]
    server = Server(tmp_path / "data", {"PYTHONUNBUFFERED": unbuffered}, command).start()
    with server.client(server.key()) as client:
        sent = send(client, 3)
        assert stored(client) == sent
        told.write_text("fail")
        sent |= send(client, 3, 3)
        until(lambda: client.get("/ready").status_code != 200)
        told.write_text("ok")
        until(lambda: client.get("/ready").status_code == 200)  # until then queries may be refused at once
        assert stored(client) == sent
        sent |= send(client, 3, 6)
        assert stored(client) == sent
    assert server.stop() == 0, "120: Python could not flush what was left in a buffer of its own"


def test_a_server_without_stderr_starts_and_stops(tmp_path: Path) -> None:
    server = Server(
        tmp_path, command=["bash", "-c", 'exec "$@" 2>&-', "bash", sys.executable, "-m", "headrace", "serve"]
    )
    server.begin()

    def is_ready() -> bool:
        assert server.is_running()
        with suppress(FileNotFoundError, msgspec.DecodeError, httpx.TransportError):
            at = address_in(tmp_path)
            return httpx.get(f"http://{at.host}:{at.port}/ready", trust_env=False, verify=False).status_code == 200
        return False

    until(is_ready)
    assert server.stop() == 0


_ENGINE_SPEAKS = """
import os, sys
import clickhouse_connect
from headrace.assembly.logs import configure
from headrace.model.settings import Settings
from headrace.store.clickhouse import ClickHouseStore

connect = clickhouse_connect.get_client

def speak(**given):
    os.write(2, b"Cannot use cgroups reader\\n\\n0. ? @ 0x1\\n")
    return connect(**given)

clickhouse_connect.get_client = speak
configure(Settings())
ClickHouseStore(f"chdb://{sys.argv[1]}").close()
os.write(2, b"after\\n")
"""


def test_what_the_engine_prints_as_it_starts_is_one_line_of_the_log(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", _ENGINE_SPEAKS, tmp_path], capture_output=True, text=True, check=True)
    line, after = done.stderr.splitlines()
    logged = json.loads(line)
    assert (logged["event"], logged["level"], after) == ("engine_message", "info", "after")
    assert logged["text"].startswith("Cannot use cgroups reader\n\n0. ? @ 0x1")


def test_each_line_is_json_where_no_cgroup_file_system_is_mounted(tmp_path: Path) -> None:
    without = ["unshare", "--mount", "sh", "-c", 'umount -R /sys/fs/cgroup 2>/dev/null; exec "$@"', "sh"]
    if not shutil.which("unshare") or subprocess.run([*without, "true"], capture_output=True).returncode:
        pytest.skip("this user may not unmount /sys/fs/cgroup for one process")
    server = Server(tmp_path, command=[*without, sys.executable, "-m", "headrace", "serve"]).start()
    assert server.stop() == 0
    assert all("timestamp" in line for line in server.logs), server.logs
    assert server.logs[0]["event"] == "engine_message"
