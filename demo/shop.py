"""The demo's shop: applies rules, earns badges, and replays under a changed rule without repeating anything."""

import json
import subprocess
from pathlib import Path
from typing import Any

from process import HEADRACE, Client, Failed, Server
from screen import heading, note, ok, print_answer, say

from examples import Request

RULES = Path(__file__).parents[1] / "examples" / "shop" / "rules.yaml"
VISITS = [("ada", 13), ("ada", 15), ("bob", 13), ("ada", 14), ("bob", 15)]  # the 14th comes late
ORDERS = [("ada", "lamp", 300), ("bob", "lamp", 120.5), ("ada", "lamp", 250), ("bob", "chair", 80)]


def show_shop(server: Server) -> None:
    """Raises Failed where the server answers otherwise."""
    key = server.create_keys(["admin"], project="shop")["admin"]
    shop = Shop(server, Client(server.url, key))
    heading("A shop: rules award badges and points")
    shop.apply(RULES.read_text())
    shop.send()
    shop.participant("ada", badges=["regular", "gold", "best-friend"], points=172)
    shop.participant("bob", badges=[], points=2)
    ok("Three days in a row, one of them sent late, and 550 in a month: three badges.")

    heading("A changed rule: two different products now make a collector")
    changed = RULES.read_text().replace(
        "measure: {distinct: product}\n    goal: 3", "measure: {distinct: product}\n    goal: 2"
    )
    shop.apply(changed, "--dry-run")
    shop.apply(changed)
    effects = shop.replay(dryRun=True)["effects"]
    got = [(effect["rule"], effect["participant"]) for effect in effects]
    _check("The effects of a dry run", [("collector", "bob")], got)
    shop.replay()
    _check("The effects left after the replay", [], shop.replay(dryRun=True)["effects"])
    shop.participant("ada", badges=["regular", "gold", "best-friend"], points=172)
    ok("One new effect, and nothing happened twice.")


class Shop:
    def __init__(self, server: Server, client: Client) -> None:
        self._server = server
        self._client = client

    def apply(self, rules: str, *options: str) -> None:
        """Put rules in force with the command, and print what it prints."""
        path = self._server.data.parent / "rules.yaml"
        path.write_text(rules)
        command = ["rules", "apply", str(path), "--project", "shop", "--data", str(self._server.data), *options]
        done = subprocess.run([*HEADRACE, *command], capture_output=True, text=True)
        if done.returncode:
            raise Failed(f"`headrace rules apply` failed: {done.stderr}")
        say("headrace " + " ".join(["rules", "apply", "rules.yaml", *options]))
        for line in done.stdout.splitlines():
            note(line)

    def send(self) -> None:
        visits = [
            {"name": "shop.visited", "user_id": user, "timestamp": f"2025-01-{day}T12:00:00Z"} for user, day in VISITS
        ]
        orders = [
            {
                "name": "order.placed",
                "user_id": user,
                "timestamp": "2025-01-15T13:00:00Z",
                "properties": {"product": product, "amount": amount},
            }
            for user, product, amount in ORDERS
        ]
        self._ask("POST", "/api/v1/events/batch", visits + orders, status=201)

    def participant(self, name: str, badges: list[str], points: int) -> None:
        found = self._ask("GET", f"/api/v1/participants/{name}", shown=False)["data"]
        _check(f"The badges of {name}", sorted(badges), sorted(badge["id"] for badge in found["badges"]))
        _check(f"The points of {name}", points, found["points"]["balance"])
        note(f"{name}: badges {', '.join(badges) or 'none'}; {points} points")

    def replay(self, **options: Any) -> Any:
        body = {"filter": {"from": "2025-01-01", "to": "2025-01-31"}} | options
        return self._ask("POST", "/v1/admin/events/replay", body)

    def _ask(self, method: str, path: str, body: Any = None, *, status: int = 200, shown: bool = True) -> Any:
        sent = None if body is None else json.dumps(body).encode()
        request = Request(method, path, {"Authorization": ""}, sent)
        reply = self._client.send(request)
        if shown:
            print_answer(request, reply, as_expected=reply.status == status)
        _check(f"{method} {path}: status", status, reply.status)
        return reply.json


def _check(what: str, expected: object, got: object) -> None:
    if expected != got:
        raise Failed(f"{what}: expected {expected}, got {got}")
