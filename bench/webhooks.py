"""What deliveries cost and how fast they are, to a local receiver, with another receiver dead.

python -m bench.webhooks [--rate 1000] [--seconds 20]

Badges of a rule are delivered to two webhooks: one whose receiver answers at once, and one whose receiver never answers. Events
are sent at a steady rate, each of which earns points, so each is one delivery to either. Server, sender and receiver share the
machine's cores. Told: how many deliveries a second reached the live receiver while events came in, and how late they were.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from pathlib import Path

import httptools
import httpx

from tests.delivery.receivers import LOOPBACK
from tests.server import Server

BATCH = 100
RULES = {"facts": [{"id": "visit", "event": "visit", "fact_type": "visited", "points": 1}]}
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: "LocalReceiver") -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        sent_s = json.loads(self._body)["data"]["participant"]
        self._body = b""
        self._receiver.lateness_s.append(time.time() - float(sent_s))
        if self._receiver.answers:
            self._transport.write(_OK)  # type: ignore[attr-defined]


class LocalReceiver:
    """An HTTP server in a thread of its own; one that does not answer holds every request for ever."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.lateness_s: list[float] = []
        self.port = 0
        ready = threading.Event()
        threading.Thread(target=lambda: asyncio.run(self._serve(ready)), daemon=True).start()
        ready.wait()

    async def _serve(self, ready: threading.Event) -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()


def send(client: httpx.Client, rate: int, seconds: float) -> int:
    """Events at a steady rate, in batches; how many."""
    sent, began = 0, time.monotonic()
    while (now := time.monotonic() - began) < seconds:
        if sent >= now * rate:
            time.sleep(0.002)
            continue
        # The participant's name is the time at which it was sent.
        batch = [{"name": "visit", "user_id": f"{time.time():.4f}", "tags": {"n": str(each)}} for each in range(BATCH)]
        client.post("/api/v1/events/batch", json=batch).raise_for_status()
        sent += BATCH
    return sent


def run(rate: int, seconds: float) -> list[str]:
    alive, dead = LocalReceiver(answers=True), LocalReceiver(answers=False)
    settings = {"HEADRACE_WEBHOOK_ALLOWED_NETWORKS": LOOPBACK, "HEADRACE_FLUSH_INTERVAL_MS": "100"}
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), settings).start()
        try:
            headers = {"Authorization": f"Bearer {server.key()}"}
            with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
                client.put("/api/v1/rules", json=RULES).raise_for_status()
                for webhook_id, receiver in (("dead", dead), ("alive", alive)):
                    url = f"http://127.0.0.1:{receiver.port}/"
                    body = {"id": webhook_id, "url": url, "topics": ["points.changed"]}
                    client.post("/api/v1/webhooks", json=body).raise_for_status()
                began = time.monotonic()
                sent = send(client, rate, seconds)
                during = len(alive.lateness_s)
                took_s = time.monotonic() - began
                while len(alive.lateness_s) < sent and time.monotonic() - began < 10 * seconds:
                    time.sleep(0.01)
                all_s = time.monotonic() - began
        finally:
            server.stop()
    late = statistics.quantiles(alive.lateness_s, n=100)
    return [
        f"{sent / took_s:,.0f} events a second sent, each with one delivery to a live and one to a dead receiver",
        f"{during / took_s:,.0f} deliveries a second reached the live receiver meanwhile",
        f"{len(alive.lateness_s):,} of {sent:,} in all, {len(alive.lateness_s) / all_s:,.0f} a second",
        f"from the event to the receiver: median {late[49] * 1000:,.0f} ms, p99 {late[98] * 1000:,.0f} ms",
        f"{len(dead.lateness_s):,} attempts at the dead receiver",
    ]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    for line in run(given.rate, given.seconds):
        print(line)


if __name__ == "__main__":
    main()
