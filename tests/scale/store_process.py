"""The face of a ClickHouse as a process of its own, which can be killed: python -m tests.scale.store_process FOLDER PORT

Files in the folder tell it what to do with the next insert: `slow` (its text: for how many seconds to hold it up), `lose` (store it,
and close the connection without a reply). Each is removed once it is done.
"""

import json
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

_START_TIMEOUT_S = 60


class StoreProcess:
    """Runs until `remove`, on the same folder and port over `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()
        self.ask("CREATE DATABASE IF NOT EXISTS events", "default")

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.scale.store_process", str(self._folder), str(self.port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    def kill(self) -> None:
        assert self._process
        assert self._process.stdout
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._process.stdout.close()

    def hold_up_an_insert(self, seconds: float) -> None:
        (self._folder / "slow").write_text(str(seconds))

    def lose_a_reply(self) -> None:
        (self._folder / "lose").touch()

    def has_done_so(self) -> bool:
        return not any((self._folder / name).exists() for name in ("slow", "lose"))

    def calm(self) -> None:
        for name in ("slow", "lose"):
            (self._folder / name).unlink(missing_ok=True)

    def ask(self, sql: str, database: str = "events") -> list[list[str]]:
        """The rows of an answer. Raises OSError."""
        asked = urllib.parse.urlencode({"query": sql, "database": database})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/?{asked}", timeout=60) as reply:
            return [line.split("\t") for line in reply.read().decode().splitlines()]


def main(folder: str, port: str) -> None:
    from tests import clickhouse_face, engine

    dsn = f"chdb://{folder}/store"
    engine.dsn = clickhouse_face.dsn = lambda: dsn  # pyright: ignore[reportAttributeAccessIssue]
    face = clickhouse_face.Face(int(port))
    slow, lose = Path(folder) / "slow", Path(folder) / "lose"

    def hold_up() -> None:
        try:
            seconds = json.loads(slow.read_text())
            slow.unlink()
        except (OSError, ValueError):
            return
        time.sleep(seconds)

    def keep_silent() -> None:
        try:
            lose.unlink()
        except OSError:
            return
        raise ConnectionError

    face.amid_insert, face.after_insert = hold_up, keep_silent
    print(face.port, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
