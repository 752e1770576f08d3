"""What a replay job costs live traffic: its rate, and the latency of single events with and without it; no count may change.

python -m bench.replay [--events 100000] [--rate 200] [--seconds 15] [--record]

The events are stored first, and a rule is applied afterwards, so that the job causes one fact for each of them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report
from tests.server import Client, Server

BATCH = 500
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


def live(server: Server, key: str, folder: Path, rate: int, seconds: float) -> dict[str, str]:
    body = folder / "live.json"
    body.write_text(json.dumps({"name": "live", "user_id": "u1", "properties": {"amount": 1}}))
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
        str(seconds),
    ]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return dict(zip(("requests", "seconds", "p50", "p99", "p99.9", "max"), out, strict=True))


def counts(client: Client) -> Any:
    return client.get("/api/v1/catalog/bench").json(), client.get("/api/v1/events/count?name=bench").json()


def job_of(client: Client, job: str) -> dict[str, Any]:
    return client.get(f"/v1/admin/replays/{job}").json()["replay"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rate", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--record", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Server(folder / "data").start()
        try:
            key = server.key()
            with server.client(key) as client:
                load(client, given.events)
                assert client.get("/api/v1/badges").status_code == 200  # all has been reacted to, under no rules
                before = counts(client)
                assert client.put("/api/v1/rules", json=RULES).status_code == 200
                live(server, key, folder, given.rate, 2)
                rows = [("without a job", live(server, key, folder, given.rate, given.seconds))]
                body = {"filter": {"event": "bench"}, "async": True}
                job = client.post("/v1/admin/events/replay", json=body).json()["replay"]["id"]
                begin = time.monotonic()
                rows.append(("during the job", live(server, key, folder, given.rate, given.seconds)))
                at_once = job_of(client, job)["replayed"]
                beside = time.monotonic() - begin
                while (ended := job_of(client, job))["finishedAt"] is None:
                    time.sleep(0.2)
                took = time.monotonic() - begin
                assert (ended["replayed"], ended["effects"]) == (given.events, given.events), ended
                again = client.post("/v1/admin/events/replay", json={"eventIds": [before[0]["data"]["example"]["id"]]})
                assert again.headers["Headrace-Suppressed-Effects"] != "0"
                assert counts(client) == before, "a count has changed"
        finally:
            assert server.stop() == 0
    heads = ["single events", "requests", "in s", "p50 ms", "p99 ms", "p99.9 ms", "max ms"]
    text = "\n".join(
        [
            "### Replay jobs",
            "",
            report.machine(),
            "",
            (
                f"`make bench-replay`: {given.events:,} stored events, a rule applied afterwards, one job with the default "
                f"`HEADRACE_REPLAY_SHARE`; beside it {given.rate} single events a second (open loop) for {given.seconds:g} s."
            ),
            "",
            report.table(heads, [[label, *figures.values()] for label, figures in rows]),
            "",
            (
                f"The job replayed {at_once / beside:,.0f} events a second beside live traffic, and {given.events / took:,.0f} from its "
                f"beginning to its end ({took:.0f} s); it caused {ended['effects']:,} effects, one for each event, and no count changed."
            ),
        ]
    )
    print(text)
    if given.record:
        report.record("bench.replay", text)


if __name__ == "__main__":
    main()
