"""The demo's merge: a visitor's three visits and a user's two make five, once both are one person; and its undo."""

import json
from typing import Any

from process import Client, Failed, Server
from screen import heading, note, ok, print_answer

from examples import Request

WHEN = "2025-01-15T10:30:00Z"
RULES = b"""
challenges:
  - {id: five-visits, title: Five visits, fact: custom.visit, goal: 5, points: 50}
badges:
  - {id: regular, title: Regular, challenge: five-visits}
"""


def show_merge(server: Server) -> None:
    """Raises Failed where the server answers otherwise."""
    key = server.create_keys(["admin"], project="merge")["admin"]
    people = _People(Client(server.url, key))
    people.ask("PUT", "/api/v1/rules", RULES, shown=False)

    heading("A merge: three visits of a visitor and two of a user")
    for user_id in ("visitor-7", "visitor-7", "visitor-7", "grace", "grace"):
        people.ask("POST", "/api/v1/events", {"name": "visit", "user_id": user_id}, status=201, shown=False)
    people.has("visitor-7", 3, [], 0)
    people.has("grace", 2, [], 0)
    note("Neither has made five visits. An alias says that both are Grace:")
    alias = {"userId": "grace", "previousId": "visitor-7", "timestamp": WHEN, "messageId": "grace-is-visitor-7"}
    for _ in range(2):
        people.ask("POST", "/api/alias", alias)
    people.has("grace", 5, ["regular"], 50)
    people.has("visitor-7", 5, ["regular"], 50)
    ok("Together they have reached the goal: one badge, paid once, under either id. The alias was sent twice.")

    heading("… and its undo")
    people.ask("DELETE", "/api/v1/users/grace/aliases/visitor-7")
    people.has("grace", 2, [], 0)
    people.has("visitor-7", 3, [], 0)
    ok("Each has its own visits again, and what only both together had earned was taken back.")


class _People:
    def __init__(self, client: Client) -> None:
        self._client = client

    def has(self, name: str, visits: int, badges: list[str], points: int) -> None:
        found = self.ask("GET", f"/api/v1/participants/{name}", shown=False)["data"]
        shown = {
            "visits": found["challenges"][0]["progress"],
            "badges": [badge["id"] for badge in found["badges"]],
            "points": found["points"]["balance"],
        }
        note(f"{name}: {json.dumps(shown)}")
        expected = {"visits": visits, "badges": badges, "points": points}
        if shown != expected:
            raise Failed(f"{name} should have {expected}.")

    def ask(self, method: str, path: str, body: Any = None, *, status: int = 200, shown: bool = True) -> Any:
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        request = Request(method, path, {"Authorization": ""}, sent)
        reply = self._client.send(request)
        if shown:
            print_answer(request, reply, as_expected=reply.status == status)
        if reply.status != status:
            raise Failed(f"{method} {path}: the status should be {status}, and is {reply.status}.")
        return reply.json
