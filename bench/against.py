"""Reactions of this checkout against those of another one: both servers live, the same loads by turns.

python -m bench.against FOLDER [--rounds 14] [--record]

FOLDER is another checkout, set up by `make setup`. Each load goes to both servers in every round, the first one by turns, and
what counts is the median of the rounds' ratios: so a machine that is slower for some seconds slows both sides alike.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import NamedTuple

from bench import report
from bench.reactions import rate, rules
from tests.server import Server


class Load(NamedTuple):
    rules: int
    about: str
    names: int
    events: int


LOADS = {
    "no rules": Load(0, "other", 10, 60_000),
    "10 rules, about none of the events": Load(10, "other", 10, 60_000),
    "100 rules, about none of the events": Load(100, "other", 10, 60_000),
    "10 rules, one pair about every fourth event": Load(10, "bench", 20, 20_000),
    "10 rules, one pair about each event": Load(10, "bench", 5, 15_000),
    "100 rules, five pairs about each event": Load(100, "bench", 10, 5_000),
}


def _processor_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve() -> None:
    """One side, in its own checkout: a load's fields in a line, [acknowledged/s, reacted/s, processor seconds] back."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder) / "data").start()
        assert server._process
        print("ready", flush=True)
        for number, line in enumerate(sys.stdin):
            count, about, names, events = json.loads(line)
            before = _processor_s(server._process.pid)
            found = rate(server, f"load-{number}", events, rules(count, about), names)
            print(json.dumps([*found, _processor_s(server._process.pid) - before]), flush=True)
        server.stop()


class Side:
    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [folder / ".venv/bin/python", __file__, "--serve"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        self._process.stdout.readline()

    def run(self, load: Load) -> list[float]:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(load), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(60)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rounds", type=int, default=14)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    theirs, ours = Side(given.folder.resolve()), Side(Path.cwd())
    rows: list[list[str]] = []
    for name, load in LOADS.items():
        rounds: list[tuple[list[float], list[float]]] = []
        for number in range(given.rounds + 1):  # the first one warms both up
            first, second = (theirs, ours) if number % 2 else (ours, theirs)
            found = {first: first.run(load)}
            found[second] = second.run(load)
            rounds.append((found[theirs], found[ours]))
        rows.append([name, *_compared(rounds[1:])])
        print(*rows[-1], sep=" | ", flush=True)
    for side in (theirs, ours):
        side.end()
    heads = [
        "load",
        "acknowledged/s there",
        "here",
        "ratio",
        "reacted/s there",
        "here",
        "ratio",
        "processor time, ratio",
    ]
    text = f"### Reactions against another checkout\n\n{report.machine()}. {given.rounds} rounds.\n\n"
    text += report.table(heads, rows)
    print(text)
    if given.record:
        report.record("bench.against", text)


def _compared(rounds: list[tuple[list[float], list[float]]]) -> list[str]:
    ratios = [median(here[field] / there[field] for there, here in rounds) for field in range(3)]
    cells: list[str] = []
    for field in (0, 1):
        cells += [f"{median(each[side][field] for each in rounds):,.0f}" for side in (0, 1)]
        cells.append(f"{ratios[field]:.2f}")
    return [*cells, f"{ratios[2]:.2f}"]


if __name__ == "__main__":
    serve() if "--serve" in sys.argv else main()
