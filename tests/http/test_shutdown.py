"""What those see who are still waiting when a server is told to stop, and that it always ends."""

import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.http.conftest import MakeServer
from tests.http.raw import Connection, request
from tests.http.routes import INGEST, assert_refused
from tests.server import Server

FLUX = "/api/v1/events"
ENDLESS = [sys.executable, "-m", "tests.guarantees.serve_endless"]
FAILING = [sys.executable, "-m", "tests.http.serve_failing"]


def test_a_request_that_is_cut_is_told_to_come_again_in_its_dialects_words(make_server: MakeServer) -> None:
    server = make_server({"HEADRACE_SHUTDOWN_TIMEOUT_S": "1", "HEADRACE_RATE_LIMITS": "on"})
    lines = b"Expect: 100-continue\r\nContent-Length: 10\r\n"
    with ExitStack() as stack:
        waiting = [(each, stack.enter_context(Connection(server.url))) for each in INGEST]
        for ingest, connection in waiting:
            connection.send(request("POST", ingest.path, "secret", b"", lines))
            assert connection.answer().status_code == 100  # so the server has begun with it
        os.kill(server.pid, signal.SIGTERM)
        for ingest, connection in waiting:
            answer = connection.answer()
            assert_refused(answer, ingest.dialect, 503)
            assert int(answer.headers["retry-after"]) >= 1
            assert ("x-ratelimit-limit" in answer.headers) == (ingest.path == f"{FLUX}/batch")
            assert connection.rest() == b""
    assert server.wait() == 0
    cut = [line for line in server.logs if line["event"] == "request_cut"]
    assert sorted(line["dialect"] for line in cut) == sorted(each.dialect for each in INGEST)
    assert "secret" not in str(cut)


def test_queries_give_up_before_the_grace_ends(tmp_path: Path) -> None:
    """The reader's own limit is an hour here."""
    settings = {"HEADRACE_ADMIN_KEY": "secret", "HEADRACE_QUERY_TIMEOUT_S": "3600", "HEADRACE_SHUTDOWN_TIMEOUT_S": "40"}
    server = Server(tmp_path, settings, ENDLESS).start()
    with ExitStack() as stack:
        waiting = [stack.enter_context(Connection(server.url)) for _ in range(3)]  # the third waits for its turn
        for connection in waiting:
            connection.send(request("GET", f"{FLUX}/stats", "secret"))
        with server.client() as client:
            assert client.get("/health").status_code == 200
        os.kill(server.pid, signal.SIGTERM)
        for connection in waiting:
            answer = connection.answer()
            assert_refused(answer, "flux", 503)
            assert "query" in answer.text
            assert int(answer.headers["retry-after"]) >= 1
    assert server.wait() == 0
    assert not [line for line in server.logs if line["event"] == "request_cut"], "it was answered in time"


def test_a_server_that_does_not_end_is_ended(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        server = Server(tmp_path / number.name, {"HEADRACE_SHUTDOWN_TIMEOUT_S": "1"}, [*FAILING, "hang"]).start()
        os.kill(server.pid, number)
        assert server.wait() == -signal.SIGALRM


def test_a_failure_between_start_and_stop_ends_the_process(tmp_path: Path) -> None:
    command = [*FAILING, "start", "--port", "0", "--data", str(tmp_path)]
    ended = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert "told to" in ended.stderr
    server = Server(tmp_path).start()  # the folder is free
    assert server.stop() == 0


@pytest.mark.parametrize("waits_for", ["cyclopts", "sqlalchemy", "headrace.http.serve", "headrace.store.engine"])
def test_ctrl_c_during_the_start_prints_one_line(tmp_path: Path, waits_for: str) -> None:
    """Wherever it is: Python tells each import as it ends."""
    command = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "headrace.cli.main",
        "serve",
        "--port",
        "0",
        "--data",
        str(tmp_path),
    ]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.rpartition("|")[2].strip() == waits_for:
                process.send_signal(signal.SIGINT)
                break
        told = [line for line in process.stderr if not line.startswith(("import time:", "{"))]
        assert process.wait(60) in (0, 130)
        assert len(told) <= 1, told
