"""Every route with every wrong key, from the tables: whoever is of another project or mode reads and changes nothing.

Each parameter of each path gets each id that the owner's project has, whatever it names. The owner's ids must look as unknown to
the stranger as made-up ones do, and the owner must see the same before and after. A new route is covered without being listed.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

import pytest

from headrace.model.keys import SCOPES
from tests.http.routes import MOUNTED, READ, STREAMS, UNKNOWN_ID, Route
from tests.server import Client, Server
from tests.waiting import until

SECRET = "zqxmarker"  # in everything that is the owner's, and in nothing that its project's other mode may see
RULES: dict[str, Any] = {
    "badges": [{"id": "a-badge", "title": "A", "fact": "custom.visit", "count": 1, "points": 30}],
    "challenges": [{"id": "a-challenge", "title": "A", "fact": "custom.visit", "goal": 5}],
    "journeys": [{"id": "a-journey", "trigger": {"event": "visit"}, "steps": [{"id": "pause", "wait": "30d"}]}],
}
_RULE_IDS = ("a-badge", "a-challenge", "a-journey")
# What changes by itself: with time, with the owner's own looking, or by a thread that works on.
VOLATILE = re.compile(
    r'"(last_used_at|uptime_seconds|lag_seconds|waiting|next_try_at|last_try_by|problem|tries|status|ended_at|attempts|throughput'
    r'|failing_since|unreacted_events|free_bytes|in_log)":("[^"]*"|\[[^\]]*\]|[^,}\]]*)'
)


class Owner:
    """A project that holds one of everything, and the ids of it."""

    def __init__(self, server: Server, project: str) -> None:
        self.server, self.project = server, project
        self.client = server.client(server.key(project))
        assert self.client.put("/api/v1/rules", json=RULES).status_code == 200
        more = {"user_id": SECRET, "tags": {SECRET: SECRET}, "value": 7}
        visit = self._post("/api/v1/events", {"name": "visit"} | more)["data"]["id"]
        event = self._post("/api/v1/events", {"name": SECRET, "group_id": SECRET} | more)["data"]["id"]
        self._post("/v1/groups", {"groupType": SECRET, "groupKey": SECRET})
        self._post("/v1/identify", {"type": "identify", "userId": SECRET, "traits": {"a": SECRET}, "messageId": SECRET})
        self._post("/api/v1/metrics", {"name": SECRET, "type": "gauge", "value": 7})
        hook = {"id": SECRET, "url": f"https://{SECRET}.example/", "topics": ["badge.awarded"]}
        self._post("/api/v1/webhooks", hook)
        delivery = self._post(f"/api/v1/webhooks/{SECRET}/test")["data"]["id"]
        key = self._post("/api/v1/keys", {"name": SECRET})["data"]["id"]
        run = self.client.get("/api/v1/journeys/a-journey/runs").json()["data"][0]["id"]
        job = self._post("/v1/admin/events/replay", {"filter": {"event": SECRET}, "async": True})["replay"]["id"]
        until(lambda: self.client.get(f"/v1/admin/replays/{job}").json()["replay"]["status"] in ("done", "failed"))
        self.ids = [SECRET, visit, event, delivery, key, run, job, *_RULE_IDS]

    def _post(self, path: str, body: Any = None) -> Any:
        answer = self.client.post(path, json=body)
        assert answer.status_code < 300, f"{path}: {answer.text}"
        return answer.json()

    def sees(self) -> dict[str, str]:
        """What the owner reads on every route, for every id."""
        return {
            path: VOLATILE.sub("", self.client.get(path).text)
            for route in READ
            if route.template != "/api/v1/audit"  # it tells of what the owner itself does here
            for path in paths(route, self.ids)
        }


def paths(route: Route, ids: Sequence[str]) -> Iterator[str]:
    """The route's path, with each of the ids in its first and in its last parameter, and the first id in the others."""
    query = route.path.partition("?")[2]
    parts = re.split(r"{[^}]*}", route.template)
    others = (ids[0],) * (len(parts) - 2)
    for chosen in dict.fromkeys([(*others, each) for each in ids] + [(each, *others) for each in ids]):
        fitting = chosen[: len(parts) - 1]
        path = parts[0] + "".join(quote(each, safe="") + part for each, part in zip(fitting, parts[1:], strict=True))
        yield path + (f"?{query}" if query else "")
        if len(parts) == 1:
            return


def bodies(route: Route, owner: Owner) -> list[Any]:
    """Bodies that would change something of the owner's if they were let to: they name nothing else."""
    if route.body is None:
        return [None]
    return [{}, {"eventIds": owner.ids, "force": True}, {"participant": SECRET, "reason": SECRET}]


def ask(client: Client, route: Route, path: str, body: Any) -> Any:
    return client.request(route.method, path, **({} if body is None else {"json": body}))


@pytest.fixture(scope="module")
def owner(server: Server) -> Iterator[Owner]:
    owner = Owner(server, "tenants-owner")
    yield owner
    owner.client.close()


@pytest.fixture(scope="module")
def seen(owner: Owner) -> dict[str, str]:
    """What the owner reads as long as nobody has changed anything. Each test compares with it what is read after it."""
    return owner.sees()


@pytest.mark.parametrize(("project", "mode"), [("tenants-owner", "test"), ("tenants-stranger", "live")])
def test_nothing_of_another_project_or_mode_is_seen_or_changed(
    server: Server, owner: Owner, seen: dict[str, str], project: str, mode: Any
) -> None:
    assert sum(SECRET in text for text in seen.values()) > 20
    ids = [each for each in owner.ids if project != owner.project or each not in _RULE_IDS]
    with server.client(server.key(project, mode)) as stranger:
        # What the stranger has asked for is in the stranger's own audit: it is read before anything is changed.
        for route in sorted(MOUNTED, key=lambda each: each.method != "GET"):
            if route.template in STREAMS:
                continue  # tests/console/test_live.py: each sees its own
            if route.template == "/api/v1/rules" and route.method == "PUT" and project == owner.project:
                continue  # rules are a project's, in both of its modes
            for body in bodies(route, owner):
                wanted = ask(stranger, route, next(paths(route, [UNKNOWN_ID])), body)
                for path in paths(route, ids):
                    answer = ask(stranger, route, path, body)
                    assert answer.status_code == wanted.status_code, f"{route.method} {path}: {answer.text}"
                    # A reply may repeat what was asked for, as often as it does for a made-up id, and nothing else.
                    asked = (str(body) + path).count(SECRET) + wanted.text.count(UNKNOWN_ID) * (SECRET in path)
                    assert answer.text.count(SECRET) <= asked, f"{route.method} {path}: {answer.text}"
    after = owner.sees()
    assert {path: (seen[path], text) for path, text in after.items() if seen[path] != text} == {}


@pytest.mark.parametrize("kind", ["revoked", "expired", "unknown", "lacking the scope"])
def test_a_key_that_does_not_open_a_route_reads_and_changes_nothing_of_its_own_project(
    owner: Owner, seen: dict[str, str], kind: str
) -> None:
    clients: dict[str, Client] = {}
    for route in MOUNTED:
        lacking = route.scope if kind == "lacking the scope" else ""
        if lacking not in clients:
            clients[lacking] = owner.server.client(wrong_key(owner, kind, lacking))
        for body in bodies(route, owner):
            answer = ask(clients[lacking], route, next(paths(route, owner.ids)), body)
            assert answer.status_code == (403 if lacking else 401), f"{route}: {answer.text}"
            assert SECRET not in answer.text
    for client in clients.values():
        client.close()
    after = owner.sees()
    new = set() if kind == "unknown" else {"/api/v1/keys"}  # which lists those that were made for this
    assert {path for path, text in after.items() if seen[path] != text} <= new
    seen.update((path, after[path]) for path in new)


def wrong_key(owner: Owner, kind: str, lacking: str) -> str:
    if kind == "unknown":
        return "adm_live_unknown"
    if lacking:
        return owner.server.key(owner.project, scopes=frozenset(SCOPES) - {lacking})  # type: ignore[arg-type]
    made = owner.client.post("/api/v1/keys", json={"style": "admin"}).json()["data"]
    if kind == "revoked":
        ended = owner.client.delete(f"/api/v1/keys/{made['id']}")
    else:
        ended = owner.client.post(f"/api/v1/keys/{made['id']}/rotate", json={"overlap_seconds": 0})
    assert ended.status_code < 300
    return made["secret"]
