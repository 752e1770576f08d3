"""A server whose lines of log cannot be written: who read them is gone, or their disk is full."""

import sys
from pathlib import Path

import pytest

from tests.crash.test_disk import send, stored
from tests.server import Server


@pytest.mark.timeout(60)  # without a worker it would wait for ever
def test_a_server_that_cannot_log_a_failure_goes_on_after_it(tmp_path: Path) -> None:
    told = tmp_path / "told"
    told.write_text("ok")
    only_first_line_is_read = ["bash", "-c", 'exec "$@" 2> >(head -n 1 >&2)', "bash"]
    command = [*only_first_line_is_read, sys.executable, "-m", "tests.guarantees.serve_on_bad_store", str(told)]
    server = Server(tmp_path / "data", command=command).start()
    with server.client(server.key()) as client:
        sent = send(client, 3)
        assert stored(client) == sent
        told.write_text("fail")
        sent |= send(client, 3, 3)
        while client.get("/ready").status_code == 200:
            pass
        told.write_text("ok")
        assert stored(client) == sent
        sent |= send(client, 3, 6)
        assert stored(client) == sent
    assert server.stop() == 0
