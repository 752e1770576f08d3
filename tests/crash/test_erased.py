"""Events that were erased on purpose stay erased, whatever else is lost; through real processes and the real store."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.crash.test_check import run as check
from tests.crash.test_disk import parts, send_keyed, stored
from tests.crash.test_lost_files import TRIMMED, trim_all
from tests.server import Server

_ERASES = """
import sys
from pathlib import Path
from headrace.assembly.adapters import Adapters
from headrace.model.settings import Settings
from headrace.upkeep.erase import erase

adapters = Adapters(Settings.from_environ({}, data=Path(sys.argv[1])))
erase(adapters.store, adapters.erased, sys.argv[2:])
adapters.close()
"""


def erase(data: Path, *ids: str) -> None:
    """Erase events of a folder that no server holds."""
    command = [sys.executable, "-c", _ERASES, str(data), *(each.removeprefix("evt_") for each in ids)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def said(server: Server) -> set[object]:
    return {line.get("event") for line in server.logs}


@pytest.mark.parametrize("lost", ["nothing", "young parts"])
def test_an_erased_event_stays_erased_through_a_restart_and_a_retry_does_not_bring_it_back(
    tmp_path: Path, lost: str
) -> None:
    server = Server(tmp_path).start()
    key = server.key()
    with server.client(key) as client:
        sent = send_keyed(client, range(5))
        assert stored(client) == sent
    assert server.stop() == 0
    gone = list(sent)[2]
    erase(tmp_path, gone)
    if lost == "young parts":
        for part in parts(tmp_path):
            shutil.rmtree(part)
    kept = {event_id: user for event_id, user in sent.items() if event_id != gone}

    server.start()
    with server.client(key) as client:
        assert stored(client) == kept
        assert send_keyed(client, range(5)) == sent, "each is a repeat of the first, and told so"
        assert stored(client) == kept
    code, report = check(tmp_path)
    assert (code, report.problems, report.held, report.stored, report.erased) == (0, [], 5, 4, 1)
    losses = said(server) & {"store_lost_events", "log_lost_events", "store_is_behind", "erased_events_removed_again"}
    assert losses == ({"store_lost_events"} if lost == "young parts" else set())
    assert server.stop() == 0


def test_a_retry_does_not_bring_back_an_erased_event_whose_key_only_the_list_has(tmp_path: Path) -> None:
    server = Server(tmp_path, TRIMMED).start()
    key = server.key()
    with server.client(key) as client:
        sent = send_keyed(client, range(5))
        trim_all(client, server)
        before = stored(client)
    assert server.stop() == 0
    gone = list(sent)[2]
    erase(tmp_path, gone)
    shutil.rmtree(tmp_path / "log.keys")

    server.start()
    with server.client(key) as client:
        assert send_keyed(client, range(5)) == sent
        assert stored(client) == {event_id: user for event_id, user in before.items() if event_id != gone}
    assert server.said("known_keys_relearnt")
    assert server.stop() == 0


def test_an_older_copy_of_the_store_loses_again_what_was_erased_since(tmp_path: Path) -> None:
    data, copy = tmp_path / "data", tmp_path / "copy"
    server = Server(data, TRIMMED).start()
    key = server.key()
    with server.client(key) as client:
        sent = send_keyed(client, range(5))
        trim_all(client, server)
    assert server.stop() == 0
    shutil.copytree(data / "store", copy, symlinks=True)
    gone = list(sent)[:2]
    erase(data, *gone)
    server = Server(data).start()
    with server.client(key) as client:
        assert not stored(client).keys() & set(gone)
        later = send_keyed(client, range(10, 13))
        before = stored(client)
    assert server.stop() == 0
    shutil.rmtree(data / "store")
    shutil.move(copy, data / "store")

    server.start()
    with server.client(key) as client:
        assert stored(client) == before
        assert later.keys() <= before.keys()
    assert server.said("erased_events_removed_again")
    assert check(data)[1].problems == []
    assert server.stop() == 0
