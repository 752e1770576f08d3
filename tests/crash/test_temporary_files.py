"""Events are in the data folder and nowhere else on the disk."""

import tempfile
from pathlib import Path

import pytest

from tests.crash.test_disk import send, stored
from tests.server import Server


def test_no_event_is_written_outside_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setenv("TMPDIR", str(elsewhere))
    data = tmp_path / "data"
    server = Server(data).start()
    key = server.key()
    left = data / "tmp" / f"{tempfile.gettempprefix()}left.raw"
    with server.client(key) as client:
        sent = send(client, 5)
        assert stored(client) == sent
    assert list(elsewhere.iterdir()) == []
    server.kill()
    left.write_text("what an insert that was cut short leaves")
    server = Server(data).start()
    assert not left.exists()
    assert server.stop() == 0
