"""What rules cost: events a second until all are stored and reacted to, with 0, 10 and 100 rules.

python -m bench.reactions [--events 60000] [--record]

One sender in this process, batches of 500, on the same cores as the server. "mentioned" is how many of the events a rule is about.
"""

import argparse
import http.client
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import report
from tests.server import Server

BATCH = 500
NAMES = 10


def rules(count: int, name: str) -> dict[str, Any]:
    """`count` rules, in pairs of a fact with a condition and a challenge; about `name` with a number from 0 to 9."""
    pairs = range(count // 2)
    return {
        "facts": [
            {
                "id": f"fact-{pair}",
                "event": f"{name}.{pair % NAMES}",
                "when": f"event.properties.amount > {pair}.0",
                "fact_type": f"fact-{pair}",
                "fields": {"amount": "properties.amount"},
            }
            for pair in pairs
        ],
        "challenges": [
            {"id": f"challenge-{pair}", "fact": f"fact-{pair}", "measure": {"sum": "amount"}, "goal": 1000}
            for pair in pairs
        ],
    }


def body(first: int, names: int) -> bytes:
    events = [
        {
            "name": f"bench.{number % names}",
            "user_id": f"user-{number % 5000}",
            "properties": {"amount": 100 + number % 50, "product": "lamp"},
        }
        for number in range(first, first + BATCH)
    ]
    return json.dumps(events).encode()


def rate(server: Server, project: str, events: int, document: dict[str, Any], names: int) -> tuple[float, float]:
    """Events a second: until the last was acknowledged, and until it was reacted to."""
    key = server.key(project)
    with server.client(key) as client:
        client.put("/api/v1/rules", json=document).raise_for_status()
    bodies = [body(first, names) for first in range(0, events, BATCH)]
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"))
    headers = {"Authorization": f"Bearer {key}"}
    begin = time.perf_counter()
    for each in bodies:
        connection.request("POST", "/api/v1/events/batch", each, headers)
        response = connection.getresponse()
        response.read()
        assert response.status == 201
    acknowledged = time.perf_counter() - begin
    while True:  # the server waits for the reactions, and gives up where they take too long
        connection.request("GET", "/api/v1/badges", headers=headers)
        response = connection.getresponse()
        response.read()
        if response.status == 200:
            break
    done = time.perf_counter() - begin
    return events / acknowledged, events / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--record", action="store_true", help="into RESULTS.md")
    given = parser.parse_args()
    rows: list[list[str]] = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder)).start()
        try:
            rate(server, "warm-up", 10_000, {}, NAMES)
            for number, (count, about, name, names, events) in enumerate(
                (
                    (0, "none", "other", NAMES, given.events),
                    (10, "none", "other", NAMES, given.events),
                    (100, "none", "other", NAMES, given.events),
                    (10, "half, one pair each", "bench", NAMES, given.events),
                    (10, "all, one pair each", "bench", NAMES // 2, given.events),
                    (100, "all, five pairs each", "bench", NAMES, given.events // 2),
                )
            ):
                rates = rate(server, f"project-{number}", events, rules(count, name), names)
                rows.append([str(count), about, *(f"{each:,.0f}" for each in rates)])
        finally:
            server.stop()
    heads = ["rules", "events that they are about", "acknowledged/s", "reacted/s"]
    text = (
        f"### Rules\n\n{report.machine()}. `make bench-reactions`, {given.events:,} events (half in the last row).\n\n"
    )
    text += report.table(heads, rows)
    print(text)
    if given.record:
        report.record("bench.reactions", text)


if __name__ == "__main__":
    main()
