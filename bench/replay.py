"""What a replay job costs live traffic: its rate, and the latency of single events with and without it; no count may change.

python -m bench.replay [--events 100000] [--rate 200] [--seconds 6] [--rounds 8] [--record]

The events are stored first, and a rule is applied afterwards, so that the job causes one fact for each of them. Then live traffic comes in rounds:
some seconds with the job paused and some with it at work, the other way round in every second round, for a machine is not the same all
the time. What is left of the job then runs alone.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from bench import open_loop, report
from bench.sides import headrace
from tests.server import Client, Server

BATCH = 500
SETTLE_S = 0.5
RULES = {
    "facts": [
        {
            "id": "bought",
            "event": "bench",
            "when": "event.properties.amount >= 0.0",
            "fact_type": "bought",
            "fields": {},
        }
    ]
}


def load(client: Client, events: int) -> None:
    for first in range(0, events, BATCH):
        numbers = range(first, min(first + BATCH, events))
        body = [{"name": "bench", "user_id": f"u{n % 5000}", "properties": {"amount": n % 50}} for n in numbers]
        assert client.post("/api/v1/events/batch", json=body).status_code == 201


def live(server: Server, key: str, rate: int, seconds: float) -> list[float]:
    """Milliseconds that each single event waited for its answer, sorted."""
    body = json.dumps({"name": "live", "user_id": "u1", "properties": {"amount": 1}}).encode()
    host, port = server.url.removeprefix("http://").split(":")
    return uvloop.run(open_loop.run(host, int(port), "/api/v1/events", key, body, rate, seconds))[0]


def counts(client: Client) -> Any:
    return client.get("/api/v1/catalog/bench").json(), client.get("/api/v1/events/count?name=bench").json()


class Job:
    """A job over all the events, paused as it is made."""

    def __init__(self, client: Client) -> None:
        body = {"filter": {"event": "bench"}, "async": True}
        self._client = client
        self._id = client.post("/v1/admin/events/replay", json=body).json()["replay"]["id"]
        self.steer("pause")

    def steer(self, action: str) -> None:
        assert self._client.post(f"/v1/admin/replays/{self._id}/{action}").status_code == 200

    def now(self) -> dict[str, Any]:
        return self._client.get(f"/v1/admin/replays/{self._id}").json()["replay"]


def beside(job: Job, server: Server, key: str, rate: int, seconds: float) -> tuple[list[float], float]:
    """The latencies while the job works, and how many events a second it replays meanwhile."""
    job.steer("resume")
    live(server, key, rate, SETTLE_S)
    before, begin = job.now()["replayed"], time.monotonic()
    found = live(server, key, rate, seconds)
    ended = job.now()
    assert ended["finishedAt"] is None, "give it more --events"
    replayed = (ended["replayed"] - before) / (time.monotonic() - begin)
    job.steer("pause")
    live(server, key, rate, SETTLE_S)
    return found, replayed


def alone(job: Job) -> float:
    """Events a second from now to the job's end."""
    before, begin = job.now()["replayed"], time.monotonic()
    job.steer("resume")
    while job.now()["finishedAt"] is None:
        time.sleep(0.2)
    return (job.now()["replayed"] - before) / (time.monotonic() - begin)


def row(label: str, rounds: list[list[float]]) -> list[str]:
    def of(found: list[float], share: float) -> float:
        return found[int(len(found) * share)]

    every = sorted(each for found in rounds for each in found)
    p99s = [of(found, 0.99) for found in rounds]
    spread = f"{statistics.median(p99s):.2f} ({min(p99s):.2f} – {max(p99s):.2f})"
    return [label, f"{len(every):,}", *(f"{of(every, share):.2f}" for share in (0.5, 0.9, 0.99, 0.999)), spread]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    without: list[list[float]] = []
    during: list[list[float]] = []
    rates: list[float] = []
    with tempfile.TemporaryDirectory() as name, headrace(Path(name)) as (server, key), server.client(key) as client:
        load(client, given.events)
        assert client.get("/api/v1/badges").status_code == 200  # all has been reacted to, under no rules
        before = counts(client)
        assert client.put("/api/v1/rules", json=RULES).status_code == 200
        job = Job(client)
        live(server, key, given.rate, 2)
        for number in range(2 * given.rounds):
            if number % 4 in (1, 2):
                found, rate = beside(job, server, key, given.rate, given.seconds)
                during.append(found)
                rates.append(rate)
            else:
                without.append(live(server, key, given.rate, given.seconds))
        rest = alone(job)
        ended = job.now()
        assert (ended["replayed"], ended["effects"]) == (given.events, given.events), ended
        again = client.post("/v1/admin/events/replay", json={"eventIds": [before[0]["data"]["example"]["id"]]})
        assert again.headers["Headrace-Suppressed-Effects"] != "0"
        assert counts(client) == before, "a count has changed"
    heads = [
        "single events",
        "requests",
        "p50 ms",
        "p90 ms",
        "p99 ms",
        "p99.9 ms",
        "p99 of a round, median (least – most)",
    ]
    text = "\n".join(
        [
            "### Replay jobs",
            "",
            report.machine(),
            "",
            (
                f"`make bench-replay`: {given.events:,} stored events, a rule applied afterwards, one job with the default "
                f"`HEADRACE_REPLAY_SHARE`; {given.rate} single events a second (open loop), in {given.rounds} rounds of "
                f"{given.seconds:g} s without the job and {given.seconds:g} s beside it."
            ),
            "",
            report.table(heads, [row("without the job", without), row("beside the job", during)]),
            "",
            (
                f"The job replayed {statistics.median(rates):,.0f} events a second beside live traffic (median of the rounds; "
                f"{min(rates):,.0f} – {max(rates):,.0f}), and {rest:,.0f} alone; it caused {ended['effects']:,} effects, one for each "
                "event, and no count changed."
            ),
        ]
    )
    print(text)
    if given.record:
        report.record("bench.replay", text)


if __name__ == "__main__":
    main()
