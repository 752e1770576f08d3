"""`make fuzz`: batches with one spoilt event, over HTTP, for a while; the others have to be stored, and the server has to live.

The same generator runs over the parsers in tests/dialects/test_neighbours.py.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random, SystemRandom

from tests.dialects.spoilings import BATCHES, COUNT, WHOLE_OR_NOTHING, at_random
from tests.server import Client, Server

_FLUX = "/api/v1/events"


def run(server: Server, key: str, more: Callable[[int], bool], seed: int) -> int:
    """Send while `more` of the number sent says so; how many batches. Raises AssertionError, with the body, for a lost event."""
    chance, sent, number = Random(seed), 0, 0
    with server.client(key) as client:
        held = _stored(client)
        while more(sent):
            route, case = at_random(chance, number)
            number += COUNT
            batches = BATCHES[route]
            answer = client.post(batches.path, content=case.body, headers=batches.headers)
            expected = COUNT if case.stored else 0 if route in WHOLE_OR_NOTHING else COUNT - 1
            now = _stored(client)
            assert now - held == expected, (seed, route, case.body, answer.status_code, answer.text)
            # A strict import of which one failed is a 400 that says how many it took.
            refused = route in WHOLE_OR_NOTHING or batches.path == "/import"
            assert answer.status_code < (500 if refused and not case.stored else 300), (seed, route, case.body)
            held, sent = now, sent + 1
    assert not [line for line in server.logs if line.get("level") in ("error", "critical")]
    return sent


def _stored(client: Client) -> int:
    points = client.get("/api/v1/metrics").json()["data"]
    return client.get(f"{_FLUX}/count").json()["data"]["total"] + sum(metric["points"] for metric in points)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 32))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), {"HEADRACE_RATE_LIMITS": "off"}).start()
        try:
            until = time.monotonic() + given.seconds
            sent = run(server, server.key(), lambda _sent: time.monotonic() < until, given.seed)
        finally:
            server.stop()
    print(f"{sent} batches with one spoilt event, seed {given.seed}: the others are stored.")


if __name__ == "__main__":
    main()
