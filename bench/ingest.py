"""How fast events are taken, beside what else could take them, in one run on one machine: `make bench-ingest`.

python -m bench.ingest [--seconds 60] [--rounds 3] [--loads single,…] [--sides headrace,…] [--known 100000000] [--look]
    [--columns plan,source,environment,region]   beside a server that gives these tags columns of their own; both live, by turns

Load: wrk (closed loop) and bench/open_loop.py (open loop), on the same cores as the server. Each round runs every side once,
so that a slow minute of the machine hits all; figures are medians of the rounds, and of RSS and lateness the worst. The table goes to
bench/RESULTS.md, unless told only to `--look`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import bodies, report
from bench.known import Filled, know
from bench.sides import RIVALS, ROOT
from headrace.assembly.folder import address_in
from tests.server import Server
from tests.waiting import until

HEADRACE, WITH_COLUMNS = "headrace", "headrace, own columns"
_OPEN_RATE = 1000


@dataclass(frozen=True)
class Load:
    """`rate`: requests a second at their own times, whether or not the last was answered; 0: each connection waits."""

    name: str
    path: str
    events: int
    connections: int
    aim: str
    keyed: bool = False
    rate: int = 0


LOADS = (
    Load("batches of 500", "/api/v1/events/batch", 500, 8, "70,000/s"),
    Load("batches of 15", "/api/v1/events/batch", 15, 32, ""),
    Load("keyed batches of 100", "/api/v1/events/batch", 100, 16, "30,000/s", keyed=True),
    Load("single events", "/api/v1/events", 1, 64, "5,000/s"),
    Load(f"single events, open loop at {_OPEN_RATE:,}/s", "/api/v1/events", 1, 64, "p99 10 ms", rate=_OPEN_RATE),
)


@dataclass(frozen=True)
class Answered:
    """What a load generator saw. Failed requests are in no rate."""

    requests: int
    seconds: float
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True)
class Figure:
    side: str
    load: str
    events_per_s: float
    answered: Answered
    queryable_s: float = 0.0
    rss_mb: list[float] = field(default_factory=list)


def wrk(url: str, key: str, load: Load, body: Path, seconds: float) -> Answered:
    environ = os.environ | {"BODY": str(body), "KEY": key, "RUN": f"{time.time_ns():x}"}
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds:g}s", "--timeout", "30s", "-s", "bench/load.lua"]
    done = subprocess.run(
        [*command, url + load.path], env=environ, capture_output=True, text=True, check=True, cwd=ROOT
    )
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    requests, duration_us, failed, p50_us, p99_us, max_us = (int(number) for number in line.split()[1:])
    return Answered(requests - failed, duration_us / 1e6, failed, p50_us / 1000, p99_us / 1000, max_us / 1000)


def open_loop(url: str, key: str, load: Load, body: Path, seconds: float) -> Answered:
    host, port = url.removeprefix("http://").split(":")
    arguments = [host, port, load.path, key, str(body), str(load.rate), f"{seconds:g}"]
    command = [sys.executable, "-m", "bench.open_loop", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    count, took, p50, p99, _, most = (float(each) for each in done.stdout.split())
    return Answered(int(count), took, 0, p50, p99, most)


def send(url: str, key: str, load: Load, body: Path, seconds: float) -> Answered:
    return (open_loop if load.rate else wrk)(url, key, load, body, seconds)


@contextmanager
def watched(pid: int) -> Iterator[list[float]]:
    """A process's resident memory in MB, each second."""
    samples: list[float] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(1):
            fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
            samples.append(int(fields[0]) / 1024)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()


def count_columns(server: Server, key: str, load: Load, body: Path) -> None:
    """Have a server count its columns, as it does once there are events. Raises AssertionError if it does not."""
    send(server.url, key, load, body, 1)
    headers = {"Authorization": f"Bearer {address_in(server.data).token}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as http:
        until(
            lambda: {each["counts"] for each in http.get("/internal/columns").json()},
            lambda found: found == {"complete"},
        )


def headrace_round(side: str, server: Server, key: str, load: Load, body: Path, seconds: float) -> Figure:
    """All that was acknowledged has to be in the count that is asked for right after. Raises RuntimeError if it is not."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        before = http.get("/api/v1/events/count").json()["data"]["total"]
        with watched(server.pid) as samples:
            answered = send(server.url, key, load, body, seconds)
            started = time.perf_counter()
            after = http.get("/api/v1/events/count").json()["data"]["total"]
            queryable_s = time.perf_counter() - started
    sent = answered.requests * load.events
    if not sent <= after - before <= sent + (answered.failed + load.connections) * load.events:
        raise RuntimeError(f"{load.name}: {sent} events acknowledged, but {after - before} more counted right after")
    return Figure(side, load.name, sent / answered.seconds, answered, queryable_s, samples)


def rival_round(side: str, folder: Path, load: Load, body: Path, seconds: float) -> Figure:
    """A rival that did not come up as it should is started once more."""
    figure = _rival_round(side, folder, load, body, seconds)
    return _rival_round(side, folder, load, body, seconds) if figure.answered.failed else figure


def _rival_round(side: str, folder: Path, load: Load, body: Path, seconds: float) -> Figure:
    with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as own:
        Path(own).chmod(0o755)  # PostgreSQL runs as a user of its own
        with RIVALS[side](Path(own)) as url:
            answered = send(url, "-", load, body, seconds)
    return Figure(side, load.name, answered.requests * load.events / answered.seconds, answered)


def rows_of(figures: list[Figure]) -> list[list[str]]:
    """One row a load and side: medians of its rounds."""
    rows: list[list[str]] = []
    for load in LOADS:
        by_side: dict[str, list[Figure]] = {}
        for figure in figures:
            if figure.load == load.name:
                by_side.setdefault(figure.side, []).append(figure)
        rates = {side: statistics.median(each.events_per_s for each in found) for side, found in by_side.items()}
        for side, found in by_side.items():
            ours = side in (HEADRACE, WITH_COLUMNS)
            answers = [each.answered for each in found]
            rss = [sample for each in found for sample in each.rss_mb] if ours else []
            rows.append(
                [
                    load.name,
                    side,
                    f"{rates[side]:,.0f}" + (f" ({min(each.events_per_s for each in found):,.0f} – "
                                             f"{max(each.events_per_s for each in found):,.0f})" if len(found) > 1 else ""),
                    "" if side == HEADRACE or HEADRACE not in rates else f"{rates[HEADRACE] / rates[side]:.2f}",
                    f"{statistics.median(each.p50_ms for each in answers):.1f}",
                    f"{statistics.median(each.p99_ms for each in answers):.1f}",
                    f"{max(each.max_ms for each in answers):.0f}",
                    f"{sum(each.failed for each in answers)}",
                    f"{max(each.queryable_s for each in found):.2f}" if ours else "",
                    f"{max(rss):.0f}, {_growth(found):+.0f}" if rss else "",
                    load.aim if side == HEADRACE else "",
                ]
            )  # fmt: skip
    return rows


def _growth(found: list[Figure]) -> float:
    """MB that a load's later half was above its earlier half, in the last round."""
    samples = found[-1].rss_mb
    half = len(samples) // 2
    return max(samples[half:]) - max(samples[:half] or samples)


_HEADS = ["load", "side", "events/s, median (least – most)", "Headrace's ratio", "p50 ms", "p99 ms", "max ms",
          "failed", "all queryable after s", "RSS MB: most, growth", "aim"]  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=60, help="of each load on Headrace")
    arguments.add_argument("--rival-seconds", type=float, default=20, help="of each load on each rival")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--loads", default="", help="only those whose name has one of these words")
    arguments.add_argument("--sides", default="", help="only those whose name has one of these words")
    arguments.add_argument("--known", type=int, default=0, help="message ids that are known before the first event")
    arguments.add_argument("--keep-known", type=Path, help="folder that keeps the known ids for the next run")
    arguments.add_argument("--columns", default="", help="tags that have columns of their own on a second server")
    arguments.add_argument("--look", action="store_true", help="only print; leave RESULTS.md as it is")
    given = arguments.parse_args()
    loads = [load for load in LOADS if _chosen(load.name, given.loads)]
    own = [WITH_COLUMNS] if given.columns else []
    sides = [side for side in (HEADRACE, *own, *RIVALS) if _chosen(side, given.sides)]
    figures: list[Figure] = []
    filled: Filled | None = None
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as temporary, ExitStack() as running:
        folder = Path(temporary)
        folder.chmod(0o755)
        files = {load.name: folder / f"{load.events}{'k' * load.keyed}.json" for load in loads}
        for load in loads:
            bodies.write(files[load.name], load.events, keyed=load.keyed)
        if given.known:
            filled = know(folder / "data", given.known, given.keep_known)
        servers: dict[str, tuple[Server, str]] = {}
        for side, data, settings in (
            (HEADRACE, "data", {}),
            (WITH_COLUMNS, "own", {"HEADRACE_HOT_TAGS": given.columns}),
        ):
            if side in sides:
                server = Server(folder / data, settings).start()
                running.callback(server.stop)
                servers[side] = server, server.key()
        if WITH_COLUMNS in servers:
            count_columns(*servers[WITH_COLUMNS], loads[0], files[loads[0].name])
        for number in range(given.rounds):
            for load in loads:
                for side in reversed(sides) if number % 2 else sides:
                    if side in servers:
                        found = headrace_round(side, *servers[side], load, files[load.name], given.seconds)
                    else:
                        found = rival_round(side, folder, load, files[load.name], given.rival_seconds)
                    figures.append(found)
                    report.say(f"{load.name}: {side} {found.events_per_s:,.0f}/s {found.answered}")
    text = _text(figures, given, filled)
    print(text)
    if not given.look:
        kind = f"--columns {given.columns}" if given.columns else f"--known {given.known}"
        report.record(f"bench/ingest.py {kind}", text)


def _text(figures: list[Figure], given: argparse.Namespace, filled: Filled | None) -> str:
    rounds = f"{given.rounds} round{'s' * (given.rounds > 1)} of {given.seconds:g} s (rivals {given.rival_seconds:g} s)"
    known = ""
    if filled:
        known = (
            f"\n{filled.count:,} message ids were known before the first event: made known in {filled.seconds:.0f} s by the index's own "
            f"API, {filled.disk_bytes / 1e9:.2f} GB on disk.\n"
        )
    head = f"### Ingest, {filled.count:,} keys known" if filled else "### Ingest"
    head += f", beside columns of their own for the tags {given.columns}" if given.columns else ""
    return f"{head}\n\n{report.machine()}. {rounds}; wrk 4, one thread.\n{known}\n{report.table(_HEADS, rows_of(figures))}\n"


def _chosen(name: str, words: str) -> bool:
    return not words or any(word.lower() in name.lower() for word in words.split(","))


if __name__ == "__main__":
    main()
