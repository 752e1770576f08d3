"""What immediate answers cost: how soon an acknowledged event is counted, and what writes and queries cost each other.

python -m bench.freshness [--events 200000] [--seconds 30] [--writes 1000] [--queries 100,300] [--record]

A server with some events in it; then, each open loop, by clients of their own processes on the same two cores: single writes
alone, and with so many queries a second, either the same three over and over or each over another range. Beside them a prober
posts an event and at once asks for it: since a query waits for what was acknowledged before it, the answer holds it, and how long
it takes is the freshness; an answer that is not what the prober has posted is a wrong one. The queries are a count, an hourly
series and a list of 50, all of one name, in turn.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench import report
from tests.server import Server

QUERIES = (
    "/api/v1/events/count?name=n3",
    "/api/v1/events/count?name=n3&interval=1h",
    "/api/v1/events?name=n3&limit=50",
)
WRITE = "/api/v1/events"
_DISTINCT = 5000
_FIRST = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass
class Seen:
    """Milliseconds of each request from when it was due, and of each 2xx until the event was counted."""

    writes: dict[str, list[float]] = field(default_factory=dict)
    queries: dict[str, list[float]] = field(default_factory=dict)
    visible: list[float] = field(default_factory=list)
    wrong: int = 0


def requests_of(key: str, host: str, *, distinct: bool) -> list[str]:
    """Queries, each as often as another one. distinct: no two have the same range."""
    paths = list(QUERIES)
    if distinct:
        starts = [f"{_FIRST + timedelta(seconds=number):%Y-%m-%dT%H:%M:%SZ}" for number in range(_DISTINCT)]
        paths = [f"{path}&from={start}" for start in starts for path in QUERIES]
    return [f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n" for path in paths]


def writes_of(key: str, host: str) -> list[str]:
    found: list[str] = []
    for number in range(500):
        body = json.dumps({"name": f"n{number % 20}", "user_id": f"u{number}", "value": 1.5})
        head = f"POST {WRITE} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json"
        found.append(f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}")
    return found


async def paced(url: str, requests: list[str], rate: int, seconds: float) -> dict[str, list[float]]:
    """See `bench.paced`, in a process of its own."""
    if not rate:
        return {}
    parts = urlsplit(url)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "requests"
        file.write_text(json.dumps({"requests": requests}))
        arguments = [str(parts.hostname), str(parts.port), str(file), str(rate), f"{seconds:g}"]
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", "bench.paced", *arguments)
        assert await process.wait() == 0
        return json.loads(file.read_text())


async def probe(client: httpx.AsyncClient, seconds: float, seen: Seen) -> None:
    """Post and ask, five times a second, in each of three ways in turn."""
    until, mine = time.perf_counter() + seconds, f"probe-{time.time_ns()}"
    posted = 0
    while time.perf_counter() < until:
        assert (await client.post(WRITE, json={"name": mine})).is_success
        posted += 1
        acknowledged = time.perf_counter()
        path = QUERIES[posted % len(QUERIES)].replace("name=n3", f"name={mine}")
        while (answer := await client.get(path)).status_code == 503:  # noqa: ASYNC110  the server says when
            await asyncio.sleep(0.05)
        seen.wrong += _total(answer.json()) != posted
        seen.visible.append((time.perf_counter() - acknowledged) * 1000)
        await asyncio.sleep(0.2)


def _total(answer: Any) -> int:
    """What a count says, what its series adds up to, or how many events a list says there are; -1 if they disagree."""
    data = answer["data"]
    if isinstance(data, list):
        return answer["meta"]["total"]
    series = [each["count"] for each in data.get("series", ())]
    return data["total"] if not series or sum(series) == data["total"] else -1


async def under(url: str, key: str, seconds: float, *, writes: int, queries: int, distinct: bool) -> Seen:
    seen, host = Seen(), str(urlsplit(url).netloc)
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as prober:
        seen.writes, seen.queries, _ = await asyncio.gather(
            paced(url, writes_of(key, host), writes, seconds),
            paced(url, requests_of(key, host, distinct=distinct), queries, seconds),
            probe(prober, seconds, seen),
        )
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


def _row(label: str, seconds: float, seen: Seen) -> list[str]:
    written = [each for status, those in seen.writes.items() if status == "201" for each in those]
    answered, shed = seen.queries.get("200", []), seen.queries.get("503", [])
    asked = sum(map(len, seen.queries.values()))
    failed = sum(
        len(each)
        for those in (seen.writes, seen.queries)
        for status, each in those.items()
        if status not in ("200", "201", "503")
    )
    failed += len(seen.writes.get("503", ()))
    return [
        label,
        f"{seconds:g}",
        *(_of(written, share) for share in (0.5, 0.99, 1)),
        *(_of(answered, share) for share in (0.5, 0.99)),
        f"{len(shed) / asked:.1%}" if asked else "",
        _of(shed, 0.99),
        *(_of(seen.visible, share) for share in (0.5, 0.99)),
        str(seen.wrong),
        str(failed),
    ]


_HEADS = [
    *(
        "beside it",
        "s",
        "single write p50 ms",
        "p99",
        "longest",
        "query p50 ms",
        "p99",
        "shed (503)",
        "shed within ms, p99",
    ),
    *("2xx → found p50 ms", "p99", "wrong answers", "other failures"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--writes", type=int, default=1000)
    parser.add_argument("--queries", default="100,300")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    rates = [int(each) for each in given.queries.split(",")]
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name) / "data", {"HEADRACE_QUERY_WAIT_S": "5"}).start()  # as by default
        try:
            key = server.key()
            load(server, key, given.events)
            asyncio.run(under(server.url, key, 3, writes=given.writes, queries=20, distinct=True))  # warm
            loads = [("nothing else", 0, 0, False), (f"{given.writes:,} writes a second", given.writes, 0, False)]
            for rate in rates:
                for distinct, which in ((False, "of three kinds, repeated"), (True, "each of another range")):
                    loads.append(
                        (f"{given.writes:,} writes and {rate} queries a second, {which}", given.writes, rate, distinct)
                    )
            rows: list[list[str]] = []
            for label, writes, queries, distinct in loads:
                seconds = given.seconds if queries else min(15, given.seconds)
                seen = asyncio.run(under(server.url, key, seconds, writes=writes, queries=queries, distinct=distinct))
                rows.append(_row(label, seconds, seen))
                report.say(json.dumps(rows[-1]))
        finally:
            assert server.stop() == 0
        parts = parts_of(Path(name) / "data")
    text = "\n".join(
        [
            "### Freshness, and what writes and queries cost each other", "", report.machine(), "",
            f"`bench/freshness.py`: {given.events:,} events stored before; open loop; clients on the same cores.", "",
            report.table(_HEADS, rows), "",
            f"Active parts at the end: {parts}.",
        ]
    )  # fmt: skip
    print(text)
    if given.record:
        report.record("bench/freshness.py", text)


if __name__ == "__main__":
    main()
