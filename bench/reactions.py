"""What rules cost: events a second until all are stored and reacted to, with 0, 10 and 100 rules.

python -m bench.reactions [--events 60000]

One sender in this process, batches of 500, on the same cores as the server. "mentioned" is how many of the events a rule is about.
"""

import argparse
import http.client
import json
import tempfile
import time
from pathlib import Path
from typing import Any

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


def rate(server: Server, project: str, events: int, document: dict[str, Any], names: int) -> float:
    """Events a second, from the first sent until the last was reacted to."""
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
    print(f"| {project:<28} | {events / acknowledged:>10,.0f} | {events / done:>10,.0f} |", flush=True)
    return events / done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=60_000)
    events = parser.parse_args().events
    print("| rules, events mentioned      | acknowledged/s | reacted/s |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder)).start()
        try:
            rate(server, "warm-up", 10_000, {}, NAMES)
            rate(server, "0-rules", events, {}, NAMES)
            rate(server, "10-rules_none", events, rules(10, "other"), NAMES)
            rate(server, "100-rules_none", events, rules(100, "other"), NAMES)
            rate(server, "10-rules_half", events, rules(10, "bench"), NAMES)
            rate(server, "10-rules_all", events, rules(10, "bench"), NAMES // 2)
            rate(server, "100-rules_all_by_5_each", events // 2, rules(100, "bench"), NAMES)
        finally:
            server.stop()


if __name__ == "__main__":
    main()
