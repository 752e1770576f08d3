"""Traffic through every dialect while the server is killed again and again, also while it starts; then the books are compared.

python -m tests.soak.soak [--minutes 10] [--seed N]      exit code 0 when nothing is lost, doubled or made up

Every event's user id is its mark. Events without a key are sent once and never retried; events with a key are retried until they
are acknowledged, and some are sent again after that. A reader asks for events that were just acknowledged. Stops by itself.
"""

import argparse
import itertools
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import httpx

from tests.server import Server
from tests.soak.ledger import Ledger

_STAMP, _STAMP_S = "2026-01-01T00:00:00Z", 1_767_225_600

Body = Mapping[str, object]
Request = tuple[str, Body | list[Body], list[str], str]  # path, body, the marks of its events, Idempotency-Key or ""


def _flux(mark: str, key: str | None) -> Body:
    return {"name": "soak", "user_id": mark, "value": 1} | ({"idempotency_key": key} if key else {})


def _bricqs(mark: str, key: str | None) -> Body:
    return {"event_name": "soak", "participant_id": mark} | ({"idempotency_key": key} if key else {})


def _solute(mark: str, key: str | None) -> Body:
    return {
        "type": "track",
        "event": "soak",
        "userId": mark,
        "messageId": key or mark,
        "timestamp": _STAMP,
        "context": {},
    }


def _hogsend(mark: str, key: str | None) -> Body:
    return {"name": "soak", "userId": mark} | ({"idempotencyKey": key} if key else {})


def _segment(mark: str, key: str | None) -> Body:
    return {"type": "track", "event": "soak", "userId": mark} | ({"messageId": key} if key else {})


def _posthog(mark: str, key: str | None) -> Body:
    return {"event": "soak", "distinct_id": mark} | ({"uuid": key} if key else {})


def _amplitude(mark: str, key: str | None) -> Body:
    return {"event_type": "soak", "user_id": mark} | ({"insert_id": key} if key else {})


def _mixpanel(mark: str, key: str | None) -> Body:
    """Mixpanel knows a repeat by its time, too."""
    return {
        "event": "soak",
        "properties": {"distinct_id": mark, "time": _STAMP_S} | ({"$insert_id": key} if key else {}),
    }


def _cloudevent(mark: str, key: str | None) -> Body:
    return {"specversion": "1.0", "id": key or mark, "source": "/soak", "type": "soak", "subject": mark}


# (path, most events, one event, the request's body, whether every event has a key)
SHAPES: tuple[
    tuple[str, int, Callable[[str, str | None], Body], Callable[[list[Body]], Body | list[Body]], bool], ...
] = (
    ("/api/v1/events", 1, _flux, lambda events: events[0], False),
    ("/api/v1/events/batch", 200, _flux, lambda events: {"events": events}, False),
    ("/api/v1/ingest/events", 1, _bricqs, lambda events: events[0], False),
    ("/api/v1/ingest/events/sync", 1, _bricqs, lambda events: events[0], False),
    ("/api/v1/ingest/events/batch", 100, _bricqs, lambda events: {"events": events}, False),
    ("/api/events", 100, _solute, lambda events: {"batch": events, "sentAt": _STAMP}, True),
    ("/api/v1/flux/batch", 100, _flux, lambda events: {"events": events}, False),
    ("/v1/events", 1, _hogsend, lambda events: events[0], False),
    ("/v1/batch", 100, _segment, lambda events: {"batch": events}, False),
    ("/v1/track", 1, _segment, lambda events: events[0], False),
    ("/batch", 100, _posthog, lambda events: {"batch": events}, False),
    ("/capture", 1, _posthog, lambda events: events[0], False),
    ("/2/httpapi", 100, _amplitude, lambda events: {"events": events}, False),
    ("/batch", 100, _amplitude, lambda events: {"events": events}, False),
    ("/track", 100, _mixpanel, lambda events: events, False),
    ("/import", 100, _mixpanel, lambda events: events, False),
    ("/v1/cloudevents", 100, _cloudevent, lambda events: events, True),
)
# How far into a start it is killed, of the time that the last whole start took.
_STARTS_KILLED = 0.4
_START_SHARES = (0.3, 1.1)


class Soak:
    def __init__(self, data: Path, seconds: float, seed: int, least_kills: int = 0) -> None:
        """`least_kills`: go on past the time, five minutes at most, until so many kills, and one of a start."""
        self.ledger = Ledger()
        self.kills = 0
        self.kills_while_starting = 0
        self.unseen: list[str] = []
        self.refused: list[str] = []
        self.reads = 0
        self._server = Server(data)
        self._seconds = seconds
        self._least_kills = least_kills
        self._seed = seed
        self._stop = threading.Event()
        self._up = threading.Event()
        self._key = ""

    def run(self, writers: int = 6) -> None:
        """Traffic and kills for the time given, and a running server at the end."""
        chance = random.Random(self._seed)
        start_s = self._start()
        self._key = self._server.key()
        self._up.set()
        threads = [threading.Thread(target=self._write, args=(number,)) for number in range(writers)]
        threads.append(threading.Thread(target=self._read, args=(writers,)))
        for thread in threads:
            thread.start()
        end = time.monotonic() + self._seconds
        last_end = end + 300
        try:
            while time.monotonic() < end or (self._too_few_kills() and time.monotonic() < last_end):
                self._stop.wait(chance.uniform(0.05, 2.5))
                self._up.clear()
                self._kill()
                while chance.random() < _STARTS_KILLED:
                    self._server.begin()
                    self._stop.wait(start_s * chance.uniform(*_START_SHARES))
                    self._kill()
                    self.kills_while_starting += not self._server.listened
                start_s = self._start()
                self._up.set()
        finally:
            self._stop.set()
            self._up.set()
            for thread in threads:
                thread.join()

    def _too_few_kills(self) -> bool:
        return self.kills < self._least_kills or (self._least_kills > 0 and not self.kills_while_starting)

    def _start(self) -> float:
        """Start it, and say how long that took."""
        started = time.monotonic()
        self._server.start()
        return time.monotonic() - started

    def _kill(self) -> None:
        self._server.kill()
        self.kills += 1

    def finish(self) -> Counter[str]:
        """How often each mark is stored: what the server counts, and once it has stopped, what its store holds."""
        authorization = {"Authorization": f"Bearer {self._key}"}
        with httpx.Client(base_url=self._server.url, headers=authorization, timeout=60, trust_env=False) as http:
            counted = http.get("/api/v1/events/count").raise_for_status().json()["data"]["total"]
        assert self._server.stop() == 0
        stored: Counter[str] = Counter()
        command = [sys.executable, "-m", "tests.soak.stored", str(self._server.data)]
        for row in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            mark, times = row.split("\t")
            stored[mark] = int(times)
        assert counted == stored.total(), f"counted {counted}, stored {stored.total()}"
        return stored

    def _write(self, number: int) -> None:
        chance = random.Random(self._seed * 1000 + number)
        marks = (f"w{number}-{count}" for count in itertools.count())
        again: list[Request] = []
        with httpx.Client(timeout=30, trust_env=False, verify=False) as http:
            while not self._stop.is_set():
                if again and chance.random() < 0.2:
                    request = chance.choice(again)
                else:
                    request, keyed = self._request(chance, marks)
                    if not keyed:
                        self._post(http, *request)
                        continue
                    again = [*again[-50:], request]
                while not self._post(http, *request) and not self._stop.is_set():
                    self._up.wait()

    def _request(self, chance: random.Random, marks: Iterator[str]) -> tuple[Request, bool]:
        """A request, and whether it may be sent again: with a key in each event, or one in a header for all of them."""
        path, most, event, wrap, always_keyed = chance.choice(SHAPES)
        by_header = chance.random() < 0.2
        keyed = always_keyed or chance.random() < 0.4
        sent = list(itertools.islice(marks, chance.randint(1, most)))
        events = [event(mark, f"key-{mark}" if keyed else None) for mark in sent]
        if by_header:
            return (path, wrap(events), sent, f"header-{sent[0]}"), True
        if keyed and len(events) > 1:
            events.append(events[0])  # the same key twice in one batch
        return (path, wrap(events[:most]), sent, ""), keyed

    def _post(self, http: httpx.Client, path: str, body: Body | list[Body], marks: list[str], header: str = "") -> bool:
        self.ledger.send(marks)
        headers = {"Authorization": f"Bearer {self._key}"} | ({"Idempotency-Key": header} if header else {})
        try:
            reply = http.post(self._server.url + path, json=body, headers=headers)
        except httpx.TransportError:
            return False
        if reply.is_success:
            self.ledger.acknowledge(marks)
        elif reply.status_code != 503:
            self.refused.append(f"{path} answered {reply.status_code}: {reply.text[:300]}")
        return reply.is_success

    def _read(self, number: int) -> None:
        """What was acknowledged before a query is in its answer."""
        with httpx.Client(timeout=30, trust_env=False, verify=False) as http:
            for count in itertools.count():
                if self._stop.is_set():
                    return
                self._up.wait()
                mark = f"r{number}-{count}"
                if not self._post(http, "/api/v1/events", _flux(mark, None), [mark]):
                    continue
                try:
                    reply = http.get(
                        f"{self._server.url}/api/v1/events/count?user_id={mark}",
                        headers={"Authorization": f"Bearer {self._key}"},
                    )
                except httpx.TransportError:
                    continue
                if reply.is_success:
                    self.reads += 1
                    if reply.json()["data"]["total"] != 1:
                        self.unseen.append(mark)


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), given.minutes * 60, given.seed)
        print(f"soak: {given.minutes:g} minutes, seed {given.seed}", file=sys.stderr, flush=True)
        soak.run()
        balance = soak.ledger.balance(soak.finish())
    print(
        f"{soak.kills} kills, {soak.kills_while_starting} of them before it listened; {soak.ledger.repeats} repeats sent, "
        f"{soak.reads} reads of which {len(soak.unseen)} missed"
    )
    print(balance)
    print(*soak.refused[:10], sep="\n")
    return 0 if balance.holds and not soak.unseen and not soak.refused else 1


if __name__ == "__main__":
    sys.exit(main())
