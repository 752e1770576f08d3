"""`make demo`: sends the four documents' examples to a fresh server and proves what it promises.

An unexpected answer ends it with exit code 1. Without `--exit` the server stays up until Ctrl-C.
"""

import argparse
import json
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote, urlencode

from journey import show_journey
from merge import show_merge
from process import LOST, Client, Failed, Reply, Server
from screen import console, heading, note, ok, print_answer, say, with_bar
from shop import show_shop

from examples import DOCUMENTS, EVENTS, NOW, UUID, Document, Request, differences, parse_curl

BATCH = 100  # as many as one Solute request may carry
BURST = 20_000
CRASH_AFTER = 3_000


def main() -> int:
    options = argparse.ArgumentParser(prog="make demo", description="Show the four APIs at work.")
    options.add_argument("--exit", action="store_true", help="stop the server at the end instead of leaving it running")
    stay = not options.parse_args().exit
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for signum in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, lambda number, _frame: sys.exit(128 + number))

    folder = Path(tempfile.mkdtemp(prefix="headrace-demo-"))
    server = Server(folder)
    keep = False
    try:
        demo = Demo(server)
        show_all(demo)
        if stay:
            leave_running(demo)
            keep = True
        check("The server's exit code after SIGTERM", 0, server.stop())
    except (Failed, *LOST) as error:
        keep = True
        console.print(f"\nFAILED  {error}", style="bold red", soft_wrap=True)
        tail = "\n".join(server.log_lines()[-10:])
        say(f"\nLast lines of the server's log, {server.log}:\n{tail}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted.")
        return 130
    finally:
        server.stop()
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    if keep:
        say(f"\nStopped. Its data is still in {folder}")
    else:
        say("\nEvery answer was as expected. The server has stopped and its data is removed.")
    return 0


def show_all(demo: "Demo") -> None:
    introduce(demo)
    for document in DOCUMENTS:
        show_document(demo, document)
    show_one_store(demo)
    show_burst(demo)
    show_crash(demo)
    show_shop(demo.server)
    show_journey(demo.server)
    show_merge(demo.server)


class Demo:
    """The server, a client for each style of key, and how an answer is shown."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.keys: dict[str, str] = {}
        self._clients: dict[str, Client] = {}

    def start(self) -> float:
        """Start the server, the first time with new keys; the seconds until it was ready."""
        begin = time.perf_counter()
        with console.status("Starting the server", spinner="line"):
            self.server.start()
            seconds = time.perf_counter() - begin
            self.keys = self.keys or self.server.create_keys([each.style for each in DOCUMENTS])
        self._clients = {style: Client(self.server.url, key) for style, key in self.keys.items()}
        return seconds

    def send(self, style: str, request: Request) -> Reply:
        return self._clients[style].send(request)

    def show(self, style: str, request: Request, expected: Any, status: int = 200) -> Any:
        """Send, print the answer, and compare it; the answer's JSON. Raises Failed."""
        reply = self.send(style, request)
        print_answer(request, reply, as_expected=reply.status == status)
        what = f"{request.method} {request.target}"
        check(f"{what}: status", status, reply.status)
        check(what, expected, reply.json)
        return reply.json


def check(what: str, expected: Any, got: Any) -> None:
    if differing := list(islice(differences(expected, got), 10)):
        raise Failed("\n        ".join([what, *differing]))


def get(path: str, **parameters: str) -> Request:
    query = f"?{urlencode(parameters, quote_via=quote)}" if parameters else ""
    return Request("GET", path + query, {"X-API-Key": ""}, None)


def count(**parameters: str) -> Request:
    return get("/api/v1/events/count", **parameters)


def counted(total: int) -> dict[str, Any]:
    return {"data": {"total": total}}


def solute_batch(name: str, first: int, size: int) -> Request:
    """Events of one name, each with a number and a messageId made of it."""
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    batch = [
        {
            "type": "track",
            "event": name,
            "properties": {"number": number},
            "timestamp": moment,
            "userId": f"user_{number % 1000}",
            "messageId": f"{name}-{number}",
            "context": {"library": {"name": "headrace-demo", "version": "1"}},
        }
        for number in range(first, first + size)
    ]
    body = json.dumps({"batch": batch, "sentAt": moment}).encode()
    return Request("POST", "/api/events", {"X-Api-Key": ""}, body)


def solute_batches(name: str, events: int) -> Iterator[Request]:
    return (solute_batch(name, first, BATCH) for first in range(0, events, BATCH))


def processed(events: int) -> dict[str, Any]:
    return {"success": True, "processed": events, "failed": 0}


def introduce(demo: Demo) -> None:
    seconds = demo.start()
    heading("Four event APIs, one server, one store")
    say(f"server      {demo.server.url}, started in {seconds:.1f} s")
    say(f"data        {demo.server.data}")
    for style, key in demo.keys.items():
        say(f"{style + ' key':<10}  {key}")
    note("Below: the example requests from each API's documentation, and this server's answers.")


def show_document(demo: Demo, document: Document) -> None:
    heading(document.title)
    for example in document.examples:
        if example.note:
            note(example.note)
        demo.show(document.style, parse_curl(example.curl), example.reply, example.status)


def show_one_store(demo: Demo) -> None:
    heading("One store: sent as Solute, counted by Flux, browsed by Hogsend")
    name = "Report Exported"
    sent = solute_batch(name, 1, 1)
    demo.show("solute", sent, processed(1))
    demo.show("flux", count(name=name), counted(1))
    row = {"id": UUID, "userId": "user_1", "event": name, "properties": {"number": 1}, "occurredAt": NOW}
    page = {"events": [row], "total": 1, "limit": 50, "offset": 0}
    browsed = demo.show("admin", get("/v1/admin/events", event=name), page)
    uuid = browsed["events"][0]["id"]
    found = demo.send("flux", get("/api/v1/events", name=name)).json
    check("Flux's ids", ["evt_" + uuid.replace("-", "")], [event["id"] for event in found["data"]])
    ok(f"The same event in all three; Flux writes its id evt_{uuid.replace('-', '')}.")

    heading("A repeat: the same messageId again")
    demo.show("solute", sent, processed(1))
    demo.show("flux", count(name=name), counted(1))
    ok("Sent twice, counted once.")


def show_burst(demo: Demo) -> None:
    heading(f"A burst: {BURST:,} events in batches of {BATCH}")
    name = "Burst Sent"
    requests = list(solute_batches(name, BURST))
    begin = time.perf_counter()
    for request in with_bar("Sending", requests):
        check("A batch of the burst", processed(BATCH), demo.send("solute", request).json)
    seconds = time.perf_counter() - begin
    demo.show("flux", count(name=name), counted(BURST))
    ok(f"Acknowledged in {seconds:.2f} s, and every one counted immediately after.")
    note(f"{BURST / seconds:,.0f} events/s: one client, one connection, this one run.")


def show_crash(demo: Demo) -> None:
    heading("A crash: SIGKILL while batches are being sent")
    name = "Crash Survived"
    before = EVENTS + 1 + BURST
    demo.show("flux", count(), counted(before))
    acknowledged, unanswered = send_until_killed(demo, name)
    check("The killed server's exit code", -signal.SIGKILL, demo.server.wait())
    events = len(acknowledged) * BATCH
    note(f"Killed. {events:,} events were acknowledged; one more batch got no reply.")
    seconds = demo.start()
    note(f"Restarted in {seconds:.1f} s, now at {demo.server.url}")

    found = numbers_of(demo, name)
    extra = len(found) - events
    check("What was acknowledged", list(range(events)), found[:events])
    check("The unanswered batch is stored as a whole or not at all", True, extra in (0, BATCH))
    ok(f"All {events:,} are stored exactly once, plus {extra} from the unanswered batch.")
    note("The client cannot know, so it sends the last two batches again:")
    for request in (acknowledged[-1], unanswered):
        demo.show("solute", request, processed(BATCH))
    events += BATCH
    check("All that was sent", list(range(events)), numbers_of(demo, name))
    demo.show("flux", count(), counted(before + events))
    ok(f"{before:,} from before the crash and {events:,} from around it: none lost, none doubled.")


def send_until_killed(demo: Demo, name: str) -> tuple[list[Request], Request]:
    """Kill the server in the middle of sending: the acknowledged requests, and the one that got no answer."""
    acknowledged: list[Request] = []
    for request in solute_batches(name, 100 * CRASH_AFTER):
        if len(acknowledged) * BATCH == CRASH_AFTER:
            threading.Timer(0.01, demo.server.kill).start()
        try:
            reply = demo.send("solute", request)
        except LOST:
            return acknowledged, request
        check("A batch before the crash", processed(BATCH), reply.json)
        acknowledged.append(request)
    raise Failed("The server kept answering after SIGKILL.")


def numbers_of(demo: Demo, name: str) -> list[int]:
    """The number of every stored event of this name, ascending, read page by page."""
    numbers: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = demo.send("flux", get("/api/v1/events", name=name, limit="1000", cursor=cursor)).json
        check("A page of events", ["data", "meta"], list(page))
        numbers += [event["properties"]["number"] for event in page["data"]]
        cursor = page["meta"].get("next_cursor")
    return sorted(numbers)


def leave_running(demo: Demo) -> None:
    """Until Ctrl-C. Raises Failed if the server ends by itself."""
    heading("Now you try")
    text = Path(__file__).with_name("next.txt").read_text(encoding="utf-8").strip()
    say(Template(text).substitute(demo.keys, url=demo.server.url))
    say(f"\nEvery route, in a browser: {demo.server.url}/docs\n\nThe server runs until Ctrl-C.")
    try:
        code = demo.server.wait()
    except KeyboardInterrupt:
        return
    raise Failed(f"The server exited on its own with code {code}.")


if __name__ == "__main__":
    sys.exit(main())
