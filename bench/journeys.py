"""100,000 waiting runs: what they cost a server, how late timers fire, and live ingest beside them.

python -m bench.journeys [--runs 100000] [--rate 200] [--seconds 10] [--record]

Runs are started by events in batches; each waits for a time of its own within the measured span, and then emits. Measured: resident
memory and start-up time with and without the runs waiting, how late the emitted events are received after the moment that they
carry, and the latency of single live events with no timer due and while timers fire.
"""

import argparse
import json
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from bench import open_loop
from tests.server import Client, Server

BATCH = 500


def document(far: str, near: str) -> bytes:
    """Two journeys: one whose timers are far away, one whose timers fire within the span."""
    rules = [
        {
            "id": name,
            "trigger": {"event": name},
            "steps": [{"id": "w", "wait": wait}, {"id": "e", "emit": {"event": f"{name}.done"}}],
        }
        for name, wait in (("far", far), ("near", near))
    ]
    return json.dumps({"journeys": rules}).encode()


def start(client: Client, name: str, runs: int) -> None:
    for first in range(0, runs, BATCH):
        body = [{"name": name, "user_id": f"u{n}"} for n in range(first, min(first + BATCH, runs))]
        assert client.post("/api/v1/events/batch", json=body).status_code == 201


def waiting(client: Client, journey: str) -> int:
    """How many of its runs go on; -1 while reactions are so far behind that it is not answered."""
    reply = client.get(f"/api/v1/journeys/{journey}")
    return reply.json()["data"]["runs"]["active"] if reply.status_code == 200 else -1


def until(condition: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def rss_mb(server: Server) -> float:
    pid = server.pid
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    raise AssertionError


def live(server: Server, key: str, rate: int, seconds: float) -> list[float]:
    """Milliseconds that each single event waited for its answer, sorted."""
    body = json.dumps({"name": "live", "user_id": "u1"}).encode()
    host, port = server.url.removeprefix("http://").split(":")
    return uvloop.run(open_loop.run(host, int(port), "/api/v1/events", key, body, rate, seconds))[0]


def lateness_ms(client: Client, events: int) -> list[float]:
    """How long after the moment that it carries each emitted event was received."""
    found: list[float] = []
    cursor = ""
    while cursor is not None and len(found) < events:
        page = client.get("/api/v1/events", params={"name": "near.done", "limit": "1000", "cursor": cursor}).json()
        for row in page["data"]:
            received = int(row["id"].removeprefix("evt_")[:12], 16)
            moment = datetime.fromisoformat(row["timestamp"]).astimezone(UTC).timestamp() * 1000
            found.append(received - moment)
        cursor = page["meta"].get("next_cursor")
    return sorted(found)


def started(server: Server) -> float:
    begin = time.perf_counter()
    server.start()
    return time.perf_counter() - begin


def at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    parser.add_argument("--near", type=int, default=2_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    environ = {"HEADRACE_RATE_LIMITS": "off"}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), environ)
        empty_s = started(server)
        key = server.key()
        with server.client(key) as client:
            assert client.put("/api/v1/rules", content=document("30d", "20s")).status_code == 200
            empty_mb = rss_mb(server)
            begin = time.perf_counter()
            start(client, "far", options.runs)
            until(lambda: waiting(client, "far") == options.runs, 1800)
            took_s = time.perf_counter() - begin
            after_mb = rss_mb(server)
        assert server.stop() == 0
        full_s = started(server)
        with server.client(key) as client:
            full_mb = rss_mb(server)
            quiet = live(server, key, options.rate, options.seconds)
            start(client, "near", options.near)
            beside = live(server, key, options.rate, options.seconds + 20)
            until(lambda: waiting(client, "near") == 0, 120)
            until(lambda: len(lateness_ms(client, options.near)) == options.near, 60)
            late = lateness_ms(client, options.near)
        assert server.stop() == 0
    print(f"runs                 {options.runs:,} started in {took_s:.1f} s ({options.runs / took_s:,.0f}/s)")
    print(f"start-up             {empty_s:.2f} s empty, {full_s:.2f} s with them waiting")
    print(
        f"resident memory      {empty_mb:.0f} MB empty, {after_mb:.0f} MB after starting them, {full_mb:.0f} MB after a restart"
    )
    print(
        f"timers ({options.near:,})       late by p50 {at(late, 0.5):.0f} ms, p99 {at(late, 0.99):.0f} ms, most {late[-1]:.0f} ms"
    )
    for name, values in (("nothing due", quiet), ("timers fire", beside)):
        print(
            f"live, {name}    p50 {at(values, 0.5):.1f} ms, p99 {at(values, 0.99):.1f} ms ({len(values):,} at {options.rate}/s)"
        )


if __name__ == "__main__":
    main()
