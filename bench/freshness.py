"""What immediate answers cost: how soon an acknowledged event is counted, and what writes and queries cost each other.

python -m bench.freshness [--events 200000] [--seconds 60] [--rate 100] [--record]

A server with some events in it; then, each open loop, on the same two cores: single writes alone, with a quarter as many queries, and with
as many queries for a minute. Beside them a prober posts one event and at once counts its name: since a query waits for what was acknowledged before it, that
count holds it, and how long it takes is the freshness. The queries are a count, an hourly series
and a list of 50, all of one name, in turn.
"""

import argparse
import asyncio
import json
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bench import report
from tests.server import Server

QUERIES = (
    "/api/v1/events/count?name=n3",
    "/api/v1/events/count?name=n3&interval=1h",
    "/api/v1/events?name=n3&limit=50",
)
WRITE = "/api/v1/events"


@dataclass
class Seen:
    """Milliseconds of each request from when it was due, and of each 2xx until the event was counted."""

    writes: list[float] = field(default_factory=list)
    queries: list[float] = field(default_factory=list)
    visible: list[float] = field(default_factory=list)
    missed: int = 0
    refused: int = 0  # queries answered 503: more than may run and wait at once


async def at_rate(rate: int, seconds: float, send: Any, kept: list[float], seen: Seen) -> None:
    """Send at the times that the rate says, whether or not the last answer has come."""
    start = time.perf_counter()

    async def one(number: int, due: float) -> None:
        answer = await send(number)
        if answer.status_code == 503:
            seen.refused += 1
            return
        assert answer.is_success, answer.text
        kept.append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(one(number, due))


async def probe(client: httpx.AsyncClient, seconds: float, seen: Seen) -> None:
    """Post and count, five times a second."""
    until, mine = time.perf_counter() + seconds, f"probe-{time.time_ns()}"
    posted = 0
    while time.perf_counter() < until:
        assert (await client.post(WRITE, json={"name": mine})).is_success
        posted += 1
        acknowledged = time.perf_counter()
        while (answer := await client.get(f"{WRITE}/count?name={mine}")).status_code == 503:
            seen.refused += 1
        seen.missed += answer.json()["data"]["total"] != posted
        seen.visible.append((time.perf_counter() - acknowledged) * 1000)
        await asyncio.sleep(0.2)


async def under(url: str, key: str, seconds: float, *, writes: int, queries: int) -> Seen:
    seen = Seen()

    def connections(most: int) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=most, max_keepalive_connections=most)
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=url, headers=headers, timeout=60, limits=limits, trust_env=False)

    async with connections(64) as client, connections(64) as writer, connections(1) as prober:

        def write(number: int) -> Any:
            return writer.post(WRITE, json={"name": f"n{number % 20}", "user_id": f"u{number % 500}", "value": 1.5})

        def ask(number: int) -> Any:
            return client.get(QUERIES[number % len(QUERIES)])

        async with asyncio.TaskGroup() as tasks:
            if writes:
                tasks.create_task(at_rate(writes, seconds, write, seen.writes, seen))
            if queries:
                tasks.create_task(at_rate(queries, seconds, ask, seen.queries, seen))
            tasks.create_task(probe(prober, seconds, seen))
    return seen


def load(server: Server, key: str, events: int) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60, trust_env=False) as client:
        for first in range(0, events, 500):
            batch = [
                {"name": f"n{n % 20}", "user_id": f"u{n % 500}", "value": n % 90} for n in range(first, first + 500)
            ]
            assert client.post(f"{WRITE}/batch", json=batch).is_success
        client.get(QUERIES[0])


def parts_of(data: Path) -> int:
    """How many active parts a stopped server's table has."""
    from headrace.store.clickhouse import ClickHouseStore

    store = ClickHouseStore(f"chdb://{(data / 'store').resolve()}")
    with store.engine.writers.lend() as client:
        sql = "SELECT count() FROM system.parts WHERE table = 'events' AND active"
        found = int(client.raw_query(sql, fmt="TabSeparated"))
    store.close()
    return found


def _of(found: list[float], share: float) -> str:
    ordered = sorted(found)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * share))]:.1f}" if ordered else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name) / "data").start()
        try:
            key = server.key()
            load(server, key, given.events)
            asyncio.run(under(server.url, key, 3, writes=given.rate, queries=given.rate))  # warm
            some = given.rate // 4
            loads = {
                "nothing else": (0, 0),
                f"{given.rate} writes a second": (given.rate, 0),
                f"{given.rate} writes and {some} queries a second": (given.rate, some),
                f"{given.rate} writes and {given.rate} queries a second": (given.rate, given.rate),
            }
            rows: list[list[str]] = []
            for label, (writes, queries) in loads.items():
                seconds = given.seconds if queries == given.rate else min(20, given.seconds)
                seen = asyncio.run(under(server.url, key, seconds, writes=writes, queries=queries))
                figures = [
                    _of(each, share) for each in (seen.visible, seen.writes, seen.queries) for share in (0.5, 0.99)
                ]
                rows.append([label, f"{seconds:g}", *figures, str(seen.missed), str(seen.refused)])
                report.say(json.dumps(rows[-1]))
        finally:
            assert server.stop() == 0
        parts = parts_of(Path(name) / "data")
    heads = [
        "beside it",
        "s",
        "2xx → counted p50 ms",
        "p99",
        "single write p50 ms",
        "p99",
        "query p50 ms",
        "p99",
        "counts that missed",
        "answered 503",
    ]
    text = "\n".join(
        [
            "### Freshness, and what writes and queries cost each other", "", report.machine(), "",
            f"`bench/freshness.py`: {given.events:,} events stored before; open loop.", "",
            report.table(heads, rows), "",
            f"Active parts at the end: {parts}.",
        ]
    )  # fmt: skip
    print(text)
    if given.record:
        report.record("bench/freshness.py", text)


if __name__ == "__main__":
    main()
