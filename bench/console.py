"""The console under load: what watching costs ingest, how late rows are, what a page takes, and how soon a chart is drawn.

    python -m bench.console tails stalled bytes page explore --minutes 10 --events 10000000 --record

Needs Chromium, a built console and tests/sdks/node for `page` and `explore`. Each part is a section of RESULTS.md of its own.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import uvloop

from bench import open_loop
from bench.console_weight import weight
from bench.journeys import rss_mb
from bench.report import machine, record, say, table
from tests.console.browser import Browser, chromium
from tests.server import Server

RATE, BATCH = 5_000, 10  # events a second, in requests of so many
PROBE_EVERY_S = 0.25
QUESTIONS: dict[str, dict[str, Any]] = {
    "count by day": {"measure": "count"},
    "three percentiles": {"measure": "percentiles", "field": "value"},
    "count by two fields": {"measure": "count", "breakdown": ["properties.country", "properties.plan"]},
}


# The text can be there before the browser has noted when it painted it.
_FIRST_PAINT = """new Promise(done => new PerformanceObserver(list => {
    const [first] = list.getEntriesByName('first-contentful-paint');
    if (first) done(first.startTime);
}).observe({type: 'paint', buffered: true}))"""

# Each long task with what its frame did: the time of its scripts, and when styles, layout and painting began.
_WATCH_TASKS = """{
    globalThis.tasks = []
    globalThis.frames = []
    new PerformanceObserver(list => tasks.push(...list.getEntries().map(each => [each.startTime, each.duration]))).observe({type: 'longtask'})
    new PerformanceObserver(list => frames.push(...list.getEntries().map(each => ({
        from: each.startTime, ms: each.duration, rendered: each.renderStart, styled: each.styleAndLayoutStart,
        scripts: each.scripts.map(script => [script.invoker, script.duration]),
    })))).observe({type: 'long-animation-frame'})
}"""
_TASKS = """tasks.map(([from, ms]) => ({from, ms, frame: frames.find(each => each.from < from + ms && from < each.from + each.ms)}))"""


def batch(name: str = "load") -> bytes:
    event = {
        "name": name,
        "user_id": "u1",
        "value": 4.2,
        "properties": {"plan": "pro", "country": "DE", "path": "/a/b"},
    }
    return json.dumps({"events": [event] * BATCH}).encode()


def _load(url: str, key: str, seconds: float, found: Any) -> None:
    host, port = url.removeprefix("http://").split(":")
    sent = open_loop.run(host, int(port), "/api/v1/events/batch", key, batch(), RATE // BATCH, seconds)
    found.put(uvloop.run(sent)[0])


def load(server: Server, key: str, seconds: float) -> list[float]:
    """Milliseconds that each request waited for its answer, sorted. Sent by a process of its own."""
    spawn = multiprocessing.get_context("spawn")
    found: Any = spawn.Queue()
    process = spawn.Process(target=_load, args=(server.url, key, seconds, found))
    process.start()
    latencies: list[float] = found.get(timeout=seconds + 120)
    process.join()
    return latencies


def _read(url: str, key: str, tails: int) -> None:
    async def one(client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/api/v1/live", headers={"Authorization": f"Bearer {key}"}) as response:
            async for _ in response.aiter_raw():
                pass

    async def every() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=None, trust_env=False) as client:
            await asyncio.gather(*(one(client) for _ in range(tails)))

    uvloop.run(every())


@contextmanager
def watched(server: Server, key: str, tails: int) -> Iterator[None]:
    """So many tails of everything, read by a process of its own."""
    if not tails:
        yield
        return
    process = multiprocessing.get_context("spawn").Process(target=_read, args=(server.url, key, tails), daemon=True)
    process.start()
    time.sleep(1.5)
    yield
    process.terminate()
    process.join()


class Probe(threading.Thread):
    """Sends an event now and then, and takes the time until a tail of its name shows it."""

    def __init__(self, server: Server, key: str) -> None:
        super().__init__(daemon=True)
        self._client = server.client(key)
        self._key = key
        self._url = server.url
        self.delays: list[float] = []
        self.done = threading.Event()

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self._key}"}
        with httpx.stream(
            "GET", f"{self._url}/api/v1/live?name=probe", headers=headers, timeout=60, trust_env=False
        ) as tail:
            lines = tail.iter_lines()
            while not self.done.wait(PROBE_EVERY_S):
                sent = time.perf_counter()
                self._client.post("/api/v1/events", json={"name": "probe"})
                next(line for line in lines if '"probe":1' in line)
                self.delays.append(time.perf_counter() - sent)


def tails(rounds: int, seconds: float) -> str:
    found: dict[int, list[list[float]]] = {0: [], 1: [], 5: []}
    delays: list[float] = []
    server = Server(Path(tempfile.mkdtemp()), {"HEADRACE_LIVE_CONNECTIONS_PER_KEY": "10"}).start()
    key = server.key("bench")
    load(server, key, 3)
    for turn in range(rounds):
        for count in (0, 1, 5):
            with watched(server, key, count):
                found[count].append(load(server, key, seconds))
                say(f"round {turn + 1}, {count} tails: p99 {_at(found[count][-1], 0.99):.1f} ms")
        with watched(server, key, 0):
            probe = Probe(server, key)
            probe.start()
            load(server, key, seconds)
            probe.done.set()
            probe.join(10)
            delays += probe.delays
    server.kill()
    rows = [
        [
            str(count),
            *(", ".join(f"{_at(each, share):.1f}" for each in runs) for share in (0.5, 0.99)),
            f"{statistics.mean(_at(each, 0.99) for each in runs):.1f}",
        ]
        for count, runs in found.items()
    ]
    heads = ["tails", "p50 in ms, each round", "p99 in ms, each round", "mean p99"]
    delay = f"From the request to the row in a tail: p50 {_at(sorted(delays), 0.5):.2f} s, p99 {_at(sorted(delays), 0.99):.2f} s ({len(delays)} probes)."
    return f"{RATE:,} events a second in requests of {BATCH}, {rounds} alternating rounds of {seconds:.0f} s.\n\n{table(heads, rows)}\n\n{delay}"


def stalled(seconds: float) -> str:
    server = Server(Path(tempfile.mkdtemp())).start()
    key = server.key("bench")
    load(server, key, seconds)
    kinds = ("no tail", "one tail that reads", "one tail that reads nothing")
    found: dict[str, list[float]] = {each: [] for each in kinds}
    for _ in range(3):
        for kind in kinds:
            with watched(server, key, 1) if kind == kinds[1] else _stalled(server, key, kind == kinds[2]):
                load(server, key, seconds)
                found[kind].append(rss_mb(server))
    server.kill()
    rows = [[kind, ", ".join(f"{each:.0f}" for each in figures)] for kind, figures in found.items()]
    said = f"Resident memory after {seconds:.0f} s of {RATE:,} events a second, by turns, on one server, {seconds:.0f} s of which came before."
    return f"{said}\n\n{table(['watched by', 'MB, each round'], rows)}"


@contextmanager
def _stalled(server: Server, key: str, there_is_one: bool) -> Iterator[None]:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.socket() as tail:
        if there_is_one:
            tail.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            tail.connect((host, int(port)))
            tail.sendall(f"GET /api/v1/live HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\r\n".encode())
        yield


@contextmanager
def opened(data: Path | None = None) -> Iterator[tuple[Server, str, Browser]]:
    """A server, an admin's key, and a browser that has logged in with it. data: of a server that has run."""
    server = Server(data or Path(tempfile.mkdtemp())).start()
    key = server.key("bench")
    try:
        with chromium() as browser:
            browser("size", width=1280)
            browser("go", url=f"{server.url}/console")
            browser("type", into="input[type=password]", text=key)
            browser("press", key="Enter")
            browser("see", text="Catalogue")
            yield server, key, browser
    finally:
        server.kill()


def page(minutes: float) -> str:
    with opened() as (server, key, browser):
        paints: list[float] = []
        for _ in range(5):
            browser("forget")
            browser("go", url=f"{server.url}/console/bench/live/live")
            browser("see", text="watching")
            paints.append(browser("evaluate", script=_FIRST_PAINT))
        browser("evaluate", script=_WATCH_TASKS)
        busy_s, told = browser("metrics")["TaskDuration"], 0
        rows: list[list[str]] = []
        with watched_load(server, key, minutes * 60):
            for minute in range(1, round(minutes) + 1):
                time.sleep(60)
                metrics = browser("metrics")
                tasks = browser("evaluate", script=_TASKS)
                for task in tasks[told:]:
                    say(f"a long task: {json.dumps(task)}")
                told = len(tasks)
                rows.append(
                    [
                        str(minute),
                        f"{metrics['JSHeapUsedSize'] / 1e6:.1f}",
                        str(metrics["nodes"]),
                        str(len(tasks)),
                        f"{max((task['ms'] for task in tasks), default=0):.0f}",
                        f"{(metrics['TaskDuration'] - busy_s) / 60:.1%}",
                    ]
                )
                busy_s = metrics["TaskDuration"]
                say(" ".join(rows[-1]))
    heads = [
        "minute",
        "heap in MB, after collecting",
        "nodes in the document",
        "tasks over 50 ms so far",
        "longest of them in ms",
        "the page's thread is busy",
    ]
    return f"First paint, with nothing cached: {statistics.median(paints):.0f} ms (median of 5). Live at {RATE:,} events a second:\n\n{table(heads, rows)}"


@contextmanager
def watched_load(server: Server, key: str, seconds: float) -> Iterator[None]:
    thread = threading.Thread(target=load, args=(server, key, seconds + 5), daemon=True)
    thread.start()
    yield
    thread.join()


def explore(events: int, data: Path | None) -> str:
    """data: a folder that an earlier run has filled with the events."""
    with opened(data) as (server, key, browser):
        if data is None:
            say(f"--data {server.data}")
            _fill(server, key, events)
        with server.client(key) as client:
            for _ in range(3):
                client.post("/api/v1/query", json={**QUESTIONS["count by two fields"], "interval": "1d", "from": "30d"})
        _rest(server, key)
        rows: list[list[str]] = []
        with server.client(key) as client:
            for name, question in QUESTIONS.items():
                asked, drawn = _both(client, browser, question)
                rows.append([name, f"{asked:.0f}", f"{drawn:.0f}", f"{drawn - asked:+.0f}"])
                say(" ".join(rows[-1]))
    heads = ["question", "the API's answer, ms", "the drawn chart, ms", "more"]
    return f"{events:,} events over 30 days, medians of 5, alternating, once the store has given what is asked for columns of their own; three percentiles are three questions at once.\n\n{table(heads, rows)}"


def _fill(server: Server, key: str, events: int) -> None:
    now = time.time()
    with server.client(key) as client:
        for first in range(0, events, 500):
            made = [
                {
                    "name": ("view", "order", "signup")[number % 3],
                    "user_id": f"u{number % 50_000}",
                    "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now - number % 2_592_000)),
                    "value": number % 977,
                    "properties": {
                        "country": ["DE", "NP", "BR", "US"][number % 4],
                        "plan": ("free", "pro", "team")[number % 3],
                    },
                }
                for number in range(first, first + 500)
            ]
            while (sent := client.post("/api/v1/events/batch", json={"events": made})).status_code == 503:
                time.sleep(1)  # the log is full: the store is behind
            sent.raise_for_status()
            if first % 1_000_000 == 0:
                say(f"{first:,} events")


def _rest(server: Server, key: str) -> None:
    """Wait until the questions' properties have columns of their own, and the engine has merged what it would."""
    process = psutil.Process(server.pid)
    with server.client(key) as client:
        for _ in range(120):
            is_busy = process.cpu_percent(3) > 5
            if not is_busy and 'own_columns{state="complete"} 2' in client.get("/metrics").text:
                return
    say("it does not come to rest")


def _both(client: httpx.Client, browser: Browser, question: dict[str, Any]) -> tuple[float, float]:
    measures = ["p50", "p95", "p99"] if question["measure"] == "percentiles" else [question["measure"]]
    asked: list[float] = []
    drawn: list[float] = []
    fields = {
        "measure": question["measure"],
        "field": question.get("field", ""),
        "by": ",".join(question.get("breakdown", [])),
    }
    for _ in range(5):
        body = {**question, "interval": "1d", "from": "30d"}
        begun = time.perf_counter()
        answers = [
            threading.Thread(target=client.post, args=("/api/v1/query",), kwargs={"json": {**body, "measure": each}})
            for each in measures
        ]
        for each in answers:
            each.start()
        for each in answers:
            each.join()
        asked.append((time.perf_counter() - begun) * 1000)
        browser("visit", path="/console/bench/live/health")
        browser("see", text="Latest refusals")
        path = "/console/bench/live/explore?" + "&".join(
            f"{name}={value}" for name, value in {**fields, "range": "30d"}.items()
        )
        script = f"""new Promise(done => {{
            const begun = performance.now()
            const seen = new MutationObserver(() => document.querySelector('.chart canvas') && (seen.disconnect(), requestAnimationFrame(() => done(performance.now() - begun))))
            seen.observe(document.body, {{subtree: true, childList: true}})
            history.pushState(null, '', {json.dumps(path)})
            dispatchEvent(new PopStateEvent('popstate'))
        }})"""
        drawn.append(browser("evaluate", script=script))
    return statistics.median(asked), statistics.median(drawn)


def _at(values: list[float], share: float) -> float:
    return values[min(len(values) - 1, int(len(values) * share))] if values else float("nan")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=["tails", "stalled", "bytes", "page", "explore"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--data", type=Path, help="a folder that `explore` has filled before")
    parser.add_argument("--record", action="store_true", help="into RESULTS.md")
    given = parser.parse_args()
    parts: dict[str, tuple[str, Callable[[], str]]] = {
        "tails": ("Watching live: what it costs ingest", lambda: tails(given.rounds, given.seconds)),
        "stalled": ("Watching live: a tail that reads nothing", lambda: stalled(given.seconds)),
        "bytes": ("The console's weight", weight),
        "page": ("The console's Live screen", lambda: page(given.minutes)),
        "explore": ("The console's Explore screen", lambda: explore(given.events, given.data)),
    }
    for part in given.parts:
        title, measure = parts[part]
        text = f"## {title}\n\n{machine()}. `python -m bench.console {part}`.\n\n{measure()}"
        print(text)
        if given.record:
            record(f"console {part}", text)


if __name__ == "__main__":
    main()
