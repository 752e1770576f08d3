"""What one project costs another: how long a synchronous answer takes beside projects with much to react to.

python -m bench.neighbours [--seconds 15] [--record]

The asker sends 20 events a second, one after the other, to Bricqs' synchronous route, which answers once the event is stored and its
reactions have run. It and the senders are threads of this process, on the same cores as the server.
"""

import argparse
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench import report
from bench.reactions import rules
from tests.server import Server

PAUSE_S = 0.05
PLAIN = {
    "facts": [
        {"id": f"f{n}", "event": "bench.0", "when": f"event.properties.amount > {n}.0", "fact_type": f"t{n}"}
        for n in range(250)
    ],
    "challenges": [{"id": f"c{n}", "fact": f"t{n}", "goal": 1000} for n in range(250)],
}
LIGHT = {"facts": [{"id": "light", "event": "light", "points": 1}]}


class Sender:
    """Requests of one project over one connection."""

    def __init__(self, server: Server, project: str, document: dict[str, Any]) -> None:
        self._key = server.key(project)
        with server.client(self._key) as client:
            client.put("/api/v1/rules", json=document).raise_for_status()
        self._connection = http.client.HTTPConnection(server.url.removeprefix("http://"))

    def post(self, path: str, body: bytes) -> int:
        self._connection.request("POST", path, body, {"Authorization": f"Bearer {self._key}"})
        response = self._connection.getresponse()
        response.read()
        return response.status

    def batch(self, events: int) -> int:
        body = [
            {"name": f"bench.{n % 10 if events > 1 else 0}", "user_id": f"u{n % 500}", "properties": {"amount": 1000}}
            for n in range(events)
        ]
        return self.post("/api/v1/events/batch", json.dumps(body).encode())


@contextmanager
def nobody(_server: Server) -> Iterator[None]:
    yield


@contextmanager
def five_hundred_rules(server: Server) -> Iterator[None]:
    """Never done: 500 events at once, each of which moves 250 challenges, and 50 more each second."""
    sender = Sender(server, "heavy", PLAIN)
    body = json.dumps(
        [{"name": "bench.0", "user_id": f"u{n % 500}", "properties": {"amount": 1000}} for n in range(500)]
    ).encode()
    sender.post("/api/v1/events/batch", body)
    with sending(lambda: sender.batch(1), 0.02):
        yield


@contextmanager
def backlog(server: Server) -> Iterator[None]:
    """100,000 events that 100 rules are about, sent at once."""
    sender = Sender(server, "backlog", rules(100, "bench"))
    for _ in range(200):
        assert sender.batch(500) == 201
    yield


@contextmanager
def fifty_busy(server: Server) -> Iterator[None]:
    """50 projects with 10 rules, 20 events of each a second."""
    senders = [Sender(server, f"busy-{number}", rules(10, "bench")) for number in range(50)]
    turn = iter(range(1 << 60))
    with sending(lambda: senders[next(turn) % 50].batch(20), 0.02):
        yield


@contextmanager
def sending(send: Callable[[], int], every_s: float) -> Iterator[None]:
    done = threading.Event()

    def run() -> None:
        while not done.wait(every_s):
            send()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def asked(server: Server, seconds: float) -> tuple[list[float], int]:
    """The milliseconds of each answer, in order of length, and how many were late (202)."""
    asker = Sender(server, "light", LIGHT)
    taken: list[float] = []
    late = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        body = json.dumps({"event_name": "light", "participant_id": f"p{len(taken) % 50}"}).encode()
        began = time.perf_counter()
        late += asker.post("/ingest/events/sync", body) != 200
        taken.append((time.perf_counter() - began) * 1000)
        time.sleep(PAUSE_S)
    return sorted(taken), late


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--record", action="store_true", help="into RESULTS.md")
    given = parser.parse_args()
    rows: list[list[str]] = []
    for name, beside in (
        ("nobody", nobody),
        ("a project with 500 rules that never catches up", five_hundred_rules),
        ("a project with 100 rules and a backlog of 100,000 events", backlog),
        ("50 busy projects with 10 rules each", fifty_busy),
    ):
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder)).start()
            try:
                asked(server, 2)
                with beside(server):
                    taken, late = asked(server, given.seconds)
            finally:
                server.stop()
        ranks = [taken[min(len(taken) - 1, int(len(taken) * share))] for share in (0.5, 0.95, 0.99)]
        rows.append([name, str(len(taken)), *(f"{each:.0f}" for each in (*ranks, taken[-1])), str(late)])
    text = f"### What one project costs another\n\n{report.machine()}. `python -m bench.neighbours`, {given.seconds:g} s each.\n\n"
    text += "Milliseconds until a synchronous answer, beside:\n\n"
    text += report.table(["beside", "answers", "p50", "p95", "p99", "longest", "late (202)"], rows)
    print(text)
    if given.record:
        report.record("bench.neighbours", text)


if __name__ == "__main__":
    main()
