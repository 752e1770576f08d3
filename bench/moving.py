"""How fast events leave a server and come back: `headrace export` in every format, and `headrace import` of JSON lines.

python -m bench.moving [--events 1000000] [--runs 3] [--record]

Each figure is of a whole command, start-up and fsync included, on a server that does nothing else; the command and the server share
the machine. Each export is repeated and the median counts. The import goes into an empty project, and is then repeated once,
when the server has every event already.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from bench import report
from bench.bodies import event
from tests.server import Server

_COMMAND = [sys.executable, "-m", "headrace.cli.main"]
_AT_ONCE = 1000
_FORMATS = ("jsonl", "csv", "parquet", "arrow")


def fill(server: Server, events: int) -> None:
    with server.client(server.key()) as client:
        for first in range(0, events, _AT_ONCE):
            batch = [event(number) for number in range(first, min(first + _AT_ONCE, events))]
            assert client.post("/api/v1/events/batch", content=json.dumps({"events": batch})).status_code == 201
        found = client.get("/api/v1/events/count").json()["data"]["total"]
    assert found == events, found


def run(server: Server, *words: str | Path) -> float:
    """A command's seconds."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    command = [*_COMMAND, *map(str, words), "--data", str(server.data)]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - begun


def size_of(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*")) if path.is_dir() else path.stat().st_size


def peak_mib(server: Server) -> int:
    found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{server.pid}/status").read_text())
    return int(found[1]) >> 10 if found else 0


def measure(folder: Path, events: int, runs: int) -> tuple[list[list[str]], int]:
    """A row each: what, events a second, MB a second, bytes an event."""
    rows: list[list[str]] = []
    server = Server(folder / "data").start()
    try:
        report.say(f"storing {events:,} events")
        fill(server, events)
        for form in _FORMATS:
            target = folder / f"events.{form}"
            took: list[float] = []
            for number in range(runs):
                report.say(f"export {form}, {number + 1} of {runs}")
                if target.exists():
                    (shutil.rmtree if target.is_dir() else os.unlink)(target)
                took.append(run(server, "export", target))
            rows.append(_row(f"export, {form}", events, size_of(target), median(took)))
        lines = folder / "events.jsonl"
        for what in ("import, jsonl", "import, jsonl, when every event is there"):
            report.say(what)
            took_s = run(server, "import", lines, "--project", "copy")
            rows.append(_row(what, events, size_of(lines), took_s))
        with server.client(server.key("copy")) as client:
            assert client.get("/api/v1/events/count").json()["data"]["total"] == events
        return rows, peak_mib(server)
    finally:
        server.stop()


def _row(what: str, events: int, size: int, seconds: float) -> list[str]:
    return [what, f"{events / seconds:,.0f}", f"{size / seconds / 1e6:.1f}", f"{size / events:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, peak = measure(Path(folder), given.events, given.runs)
    text = report.table(["command", "events a second", "MB a second", "bytes an event"], rows)
    print(text)
    if given.record:
        head = f"## Data out and in: {given.events:,} events\n\n{report.machine()}. `python -m bench.moving`"
        report.record("moving", f"{head}; at most {peak:,} MiB resident in the server.\n\n{text}")


if __name__ == "__main__":
    main()
