"""The face of a ClickHouse as a process of its own, which can be killed: python -m tests.scale.store_process FOLDER PORT

Files in the folder tell it what to do with the next insert: `slow` (its text: for how many seconds to hold it up), `lose` (store it,
and close the connection without a reply). Each is removed once it is done. Both hold it up before its fence is looked at.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
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


class Gate:
    """Holds an insert up whose fence was looked at, before its rows are stored.

    A view of `arriving`, behind the view with the fence, reads a file for each insert. While the gate is shut, the file is a pipe.
    """

    def __init__(self, store: StoreProcess, folder: Path) -> None:
        """store: which has its tables already."""
        self._path = folder / "gate.tsv"
        self._open()
        read = f"SELECT max(x) FROM file('{self._path}', 'TSV', 'x UInt64')"
        view = f"CREATE MATERIALIZED VIEW gate ENGINE = Null AS SELECT position FROM arriving WHERE position = ({read})"
        store.ask(view)

    def hold_up(self, seconds: float) -> "HeldInsert":
        """The next insert that comes to the gate."""
        pipe = self._path.with_suffix(".pipe")
        os.mkfifo(pipe)
        pipe.rename(self._path)
        return HeldInsert(self._path, seconds, self._open)

    def _open(self) -> None:
        file = self._path.with_suffix(".file")
        file.write_text("1\n")
        file.rename(self._path)


class HeldInsert:
    """is_held: set once it waits. is_over: set once it goes on, or its store was killed."""

    def __init__(self, path: Path, seconds: float, let_others: Callable[[], None]) -> None:
        self.is_held, self.is_over = threading.Event(), threading.Event()
        self._path = path
        self._seconds = seconds
        self._let_others = let_others
        threading.Thread(target=self._hold, daemon=True).start()

    def _hold(self) -> None:
        with suppress(BrokenPipeError), self._path.open("wb", buffering=0) as pipe:  # opens once an insert reads
            self._let_others()
            self.is_held.set()
            time.sleep(self._seconds)
            pipe.write(b"1\n")
        self.is_over.set()


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
