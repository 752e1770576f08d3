"""The demo's journey: a welcome whose webhook reaches a receiver on this machine, then a changed journey and a replay."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from process import Client, Failed, Server
from screen import heading, note, ok, print_answer

from examples import Request

RULES = Path(__file__).parents[1] / "examples" / "welcome" / "rules.yaml"
_PATIENCE_S = 30


def show_journey(server: Server) -> None:
    """Raises Failed where the server answers otherwise."""
    key = server.create_keys(["admin"], project="welcome")["admin"]
    with receiver() as (url, received):
        welcome = Welcome(Client(server.url, key))
        heading("A journey: a sign-up, a webhook's answer, and a thank-you")
        hook = {"id": "crm", "url": url, "topics": ["journey.called"]}
        welcome.ask("POST", "/api/v1/webhooks", hook, status=201, shown=False)
        welcome.ask("PUT", "/api/v1/rules", RULES.read_bytes(), shown=False)
        welcome.ask("POST", "/api/v1/events", {"name": "signed_up", "user_id": "ada"}, status=201)
        [call] = _wait_for(lambda: received if len(received) == 1 else None, "The webhook's call")
        note(f"The receiver got {call['type']}: step {call['data']['step']!r} for {call['data']['person']['id']}")
        welcome.ended(1)
        run = welcome.ask("GET", f"/api/v1/runs/{welcome.runs()[0]['id']}")["data"]
        _check("The steps", ["replied", "then", "emitted"], [step["outcome"] for step in run["steps"]])
        ok("The receiver answered, and what it answered decided how the journey went on.")

        heading("A changed journey, and a replay that fires it once")
        changed = RULES.read_text().replace("template: hello", "template: hello-again").encode()
        welcome.ask("PUT", "/api/v1/rules", changed)
        replay = {"filter": {"event": "signed_up"}}
        dry = welcome.ask("POST", "/v1/admin/events/replay", replay | {"dryRun": True})["effects"]
        _check("Who would enter", ["ada"], [effect["participant"] for effect in dry if effect["type"] == "journey"])
        for _ in range(2):
            welcome.ask("POST", "/v1/admin/events/replay", replay, shown=False)
        welcome.ended(2)
        _check(
            "What the receiver got", ["hello", "hello-again"], [each["data"]["body"]["template"] for each in received]
        )
        ok("Replayed twice, fired once.")


class Welcome:
    def __init__(self, client: Client) -> None:
        self._client = client

    def runs(self) -> list[dict[str, Any]]:
        return self.ask("GET", "/api/v1/journeys/welcome/runs", shown=False)["data"]

    def ended(self, count: int) -> None:
        """Wait until so many runs are done."""
        _wait_for(lambda: sum(run["status"] == "done" for run in self.runs()) == count, f"{count} ended runs")

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, shown: bool = True) -> Any:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(method, path, {"Authorization": ""}, sent)
        reply = self._client.send(request)
        if shown:
            print_answer(request, reply, as_expected=reply.status == status)
        _check(f"{method} {path}: status", status, reply.status)
        return reply.json


@contextmanager
def receiver() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A receiver of webhooks on this machine, and what it has got; it answers each with `{"ok": true}`."""
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            answer = b'{"ok": true}'
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listening.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}/crm", received
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


def _wait_for(found: Any, what: str) -> Any:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if got := found():
            return got
        time.sleep(0.05)
    raise Failed(f"{what}: not within {_PATIENCE_S} s")


def _check(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise Failed(f"{what}: expected {expected}, got {got}")
