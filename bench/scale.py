"""What splitting a server costs: `make bench-scale` (ARGS="--seconds 10 --rounds 1 --record").

One gateway, one worker, Valkey, PostgreSQL and the store's face as processes of their own, beside one embedded server; each load by turns.
Processor time is that of each process from the first request until everything acknowledged is in a count, per event. The store is no
ClickHouse server: it is tests/clickhouse_face.py, Python over chDB, which reads each insert from a pipe. All share the machine's cores
with the load generator, so events a second tell less than processor time does.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import msgspec
import psutil

from bench import bodies, report
from bench.ingest import Load, wrk
from headrace.assembly.clock import clock_ms
from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from tests.postgres import Postgres
from tests.scale.cluster import role_of, wait_until
from tests.scale.store_process import StoreProcess
from tests.server import Server
from tests.valkey_server import Valkey

LOADS = [
    Load(f"{'keyed, ' if keyed else ''}{'single events' if size == 1 else f'batches of {size}'}", path, size, connections, "", keyed)
    for keyed in (False, True)
    for size, path, connections in (
        (500, "/api/v1/events/batch", 8),
        (15, "/api/v1/events/batch", 32),
        (1, "/api/v1/events", 64),
    )
]  # fmt: skip
_WARM_UP_S = 1.0
_PARTS = ("gateway", "log", "worker", "store", "control")
_HEADS = [
    "load",
    "side",
    "events/s",
    "p99 ms",
    "queryable after s",
    "µs an event, all",
    *(f"{part} µs" for part in _PARTS),
]


class Side(msgspec.Struct):
    """parts: the processes of each, by name."""

    name: str
    url: str
    key: str
    parts: dict[str, Callable[[], list[int]]]


class Figure(msgspec.Struct):
    """microseconds: of processor time an event, by part."""

    load: str
    side: str
    events_per_s: float
    p99_ms: float
    queryable_s: float
    microseconds: dict[str, float]


@contextmanager
def embedded(folder: Path) -> Generator[Side]:
    server = Server(folder / "embedded").start()
    try:
        yield Side("embedded", server.url, server.key(), {"server": lambda: [server.pid]})
    finally:
        server.stop()


@contextmanager
def split(folder: Path) -> Generator[Side]:
    with ExitStack() as running:
        valkey = Valkey()
        running.callback(valkey.remove)
        postgres = Postgres(Path(tempfile.mkdtemp(prefix="headrace-postgres-")))
        running.callback(postgres.stop)
        postgres.prepare()
        store = StoreProcess(folder / "store")
        running.callback(store.kill)
        control_url = postgres.migrated()
        settings = {
            "HEADRACE_LOG_URL": valkey.url,
            "HEADRACE_CONTROL_URL": control_url,
            "HEADRACE_STORE_URL": f"http://127.0.0.1:{store.port}/events",
        }
        worker = Server(folder / "worker", settings | {"HEADRACE_ROLE": "worker"}).start()
        running.callback(worker.stop)
        wait_until(lambda: role_of(worker) == "worker", "an active worker")
        gateway = Server(folder / "gateway", settings | {"HEADRACE_ROLE": "gateway"}).start()
        running.callback(gateway.stop)
        engine = open_database(control_url)
        key = Keys(engine).create("default", "live", "admin", None, clock_ms())[1]
        engine.dispose()
        parts = {
            "gateway": lambda: [gateway.pid],
            "log": lambda: [valkey.pid],
            "worker": lambda: [worker.pid],
            "store": lambda: [store.pid],
            "control": postgres.pids,
        }
        yield Side("split", gateway.url, key, parts)


def seconds_used(side: Side) -> dict[str, float]:
    """Processor time of each part so far."""
    return {name: sum(map(_seconds_of, pids())) for name, pids in side.parts.items()}


def _seconds_of(pid: int) -> float:
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return times.user + times.system


def measure(side: Side, load: Load, body: Path, seconds: float) -> Figure:
    """Raises RuntimeError if the count that is asked for right after lacks an event that was acknowledged."""
    with httpx.Client(base_url=side.url, headers={"Authorization": f"Bearer {side.key}"}, timeout=60) as http:
        before = _count(http)
        used = seconds_used(side)
        answered = wrk(side.url, side.key, load, body, seconds)
        asked = time.perf_counter()
        events = _count(http) - before
        queryable_s = time.perf_counter() - asked
    sent = answered.requests * load.events
    if events < sent:
        raise RuntimeError(
            f"{side.name}, {load.name}: {sent} events acknowledged, but {events} more counted right after"
        )
    spent = {name: (now - used[name]) / events * 1e6 for name, now in seconds_used(side).items()}
    return Figure(load.name, side.name, sent / answered.seconds, answered.p99_ms, queryable_s, spent)


def _count(http: httpx.Client) -> int:
    """Once the store has everything, however long that takes."""
    while (answer := http.get("/api/v1/events/count")).status_code == 503:
        time.sleep(0.05)
    return answer.raise_for_status().json()["data"]["total"]


def rows_of(figures: list[Figure]) -> list[list[str]]:
    found = {
        (load, side): [each for each in figures if (each.load, each.side) == (load.name, side)]
        for load in LOADS
        for side in ("embedded", "split")
    }
    return [_row(load, side, some) for (load, side), some in found.items() if some]


def _row(load: Load, name: str, found: list[Figure]) -> list[str]:
    def median(of: Callable[[Figure], float], form: str = ",.0f") -> str:
        return format(statistics.median(map(of, found)), form)

    parts = [median(lambda each, part=part: each.microseconds[part], ".1f") if part in found[0].microseconds else "" for part in _PARTS]  # fmt: skip
    return [
        *(load.name, name, median(lambda each: each.events_per_s), median(lambda each: each.p99_ms, ".1f")),
        *(median(lambda each: each.queryable_s, ".2f"), median(lambda each: sum(each.microseconds.values()), ".1f")),
        *parts,
    ]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--seconds", type=float, default=10, help="of each load on each side")
    arguments.add_argument("--rounds", type=int, default=1)
    arguments.add_argument("--record", action="store_true", help="put the table into RESULTS.md")
    given = arguments.parse_args()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR")) as temporary, ExitStack() as running:
        folder = Path(temporary)
        files = {load.name: folder / f"{load.events}{'k' * load.keyed}.json" for load in LOADS}
        for load in LOADS:
            bodies.write(files[load.name], load.events, keyed=load.keyed)
        sides = [running.enter_context(side(folder)) for side in (embedded, split)]
        for side in sides:  # the first insert of a store takes long
            measure(side, LOADS[0], files[LOADS[0].name], _WARM_UP_S)
        for number in range(given.rounds):
            for load in LOADS:
                for side in reversed(sides) if number % 2 else sides:
                    figures.append(measure(side, load, files[load.name], given.seconds))
                    report.say(str(figures[-1]))
    rounds = f"{given.rounds} round{'s' * (given.rounds > 1)} of {given.seconds:g} s"
    text = (
        f"### Split into a gateway, a worker and servers\n\n{report.machine()}. {rounds}; wrk 4, one thread, on the same cores. "
        f"The store is the tests' face over chDB, not a ClickHouse server.\n\n{report.table(_HEADS, rows_of(figures))}\n"
    )
    print(text)
    if given.record:
        report.record("bench.scale", text)


if __name__ == "__main__":
    main()
