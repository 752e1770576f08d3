"""How fast events leave a server and come back: `headrace export` in every format, and `headrace import` of JSON lines.

python -m bench.moving [--events 300000] [--runs 3] [--patience 120] [--record]

Each figure is of a whole command, start-up and fsync included, on a server that does nothing else; the command and the server share
the machine. Each export is repeated and the median counts. The import goes into an empty project, and is then repeated once,
when the server has every event already. A command that takes longer than the patience, in seconds, is ended and has no figure, and
neither have its repetitions; the rest goes on. So a run takes at most (4 × runs + 2) × patience, and the time to store the events.
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
_AT_ONCE = 500  # what one request may hold
_FORMATS = ("jsonl", "csv", "parquet", "arrow")


def fill(server: Server, events: int) -> None:
    with server.client(server.key()) as client:
        for first in range(0, events, _AT_ONCE):
            batch = [event(number) for number in range(first, min(first + _AT_ONCE, events))]
            reply = client.post("/api/v1/events/batch", content=json.dumps({"events": batch}))
            if reply.status_code != 201:
                raise SystemExit(f"The server refused events: {reply.status_code} {reply.text[:500]}")
            if first % 100_000 == 0:
                report.say(f"  {first:,} of {events:,}")
        found = client.get("/api/v1/events/count").json()["data"]["total"]
    if found != events:
        raise SystemExit(f"The server has {found} of {events} events.")


def run(server: Server, patience_s: float, *words: str | Path) -> float | None:
    """A command's seconds; None if it took longer than the patience."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}
    command = [*_COMMAND, *map(str, words), "--data", str(server.data)]
    begun = time.perf_counter()
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environ, check=False, timeout=patience_s)
    except subprocess.TimeoutExpired:
        report.say(f"  not done after {patience_s:.0f} s")
        return None
    took_s = time.perf_counter() - begun
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    report.say(f"  {took_s:.1f} s")
    return took_s


def size_of(path: Path) -> int:
    return sum(each.stat().st_size for each in path.rglob("*")) if path.is_dir() else path.stat().st_size


def peak_mib(server: Server) -> int:
    found = re.search(r"VmHWM:\s*(\d+)", Path(f"/proc/{server.pid}/status").read_text())
    return int(found[1]) >> 10 if found else 0


def measure(folder: Path, events: int, runs: int, patience_s: float) -> tuple[list[list[str]], int]:
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
                took_s = run(server, patience_s, "export", target)
                if took_s is None:
                    took.clear()
                    break
                took.append(took_s)
            rows.append(_row(f"export, {form}", events, target, median(took) if took else None))
        lines = folder / "events.jsonl"
        for what in ("import, jsonl", "import, jsonl, when every event is there"):
            report.say(what)
            took_s = run(server, patience_s, "import", lines, "--project", "copy") if lines.exists() else None
            rows.append(_row(what, events, lines, took_s))
            if took_s is None:
                return rows, peak_mib(server)  # a repetition would go on where this has ended
        with server.client(server.key("copy")) as client:
            found = client.get("/api/v1/events/count").json()["data"]["total"]
        if found != events:
            raise SystemExit(f"The import stored {found} of {events} events.")
        return rows, peak_mib(server)
    finally:
        server.stop()


def _row(what: str, events: int, path: Path, seconds: float | None) -> list[str]:
    if seconds is None:
        return [what, "not done in time", "", ""]
    size = size_of(path)
    return [what, f"{events / seconds:,.0f}", f"{size / seconds / 1e6:.1f}", f"{size / events:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--patience", type=float, default=120.0)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows, peak = measure(Path(folder), given.events, given.runs, given.patience)
    text = report.table(["command", "events a second", "MB a second", "bytes an event"], rows)
    print(text)
    if given.record:
        head = f"## Data out and in: {given.events:,} events\n\n{report.machine()}. `python -m bench.moving`"
        report.record("moving", f"{head}; at most {peak:,} MiB resident in the server.\n\n{text}")


if __name__ == "__main__":
    main()
