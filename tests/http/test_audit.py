"""Every admin route that changes something leaves one entry in the audit, without being listed here by hand."""

import asyncio
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import falcon.inspect
import falcon.testing
import pytest

from headrace.dialects.route import Ask, Handled, Route, Tell
from headrace.dialects.table import DIALECTS
from headrace.http.addresses import Addresses
from headrace.http.app import create_app
from headrace.http.audited import COMMANDS, Auditor
from headrace.http.unread import Unread
from headrace.model.audit import Deed
from headrace.model.errors import InvalidKey
from headrace.model.settings import Settings
from tests.http.capabilities import bare_capabilities
from tests.http.routes import MOUNTED, UNKNOWN_ID, send
from tests.http.routes import Route as Mounted
from tests.server import Client, Server
from tests.waiting import until

PATH = "/api/v1/audit"
TABLES: dict[str, Route] = {
    f"{route.method} {route.path}": route for dialect in DIALECTS for route in dialect.routes if route.is_audited
}
AUDITED = [
    (mounted, table)
    for table in TABLES.values()
    for mounted in MOUNTED
    if mounted.method == table.method and mounted.template == table.path
]
each_audited = pytest.mark.parametrize(("route", "table"), AUDITED, ids=[str(route) for route, _ in AUDITED])


def entries(client: Client, **query: Any) -> list[dict[str, Any]]:
    return client.get(PATH, params=query).json()["data"]


def test_whatever_an_admin_changes_is_done_by_a_handler_which_is_audited() -> None:
    assert len(AUDITED) == len(TABLES)
    for dialect in DIALECTS:
        for route in dialect.routes:
            if route.scope == "admin" and route.method != "GET":
                assert isinstance(route.does, Handled), f"{route.path} changes something and would not be audited"
            assert not (isinstance(route.does, Ask | Tell) and route.is_audited)


@each_audited
def test_a_request_to_an_audited_route_leaves_one_entry(client: Client, route: Mounted, table: Route) -> None:
    answer = send(client, route)
    [entry] = entries(client)
    assert isinstance(table.does, Handled)
    assert entry["action"] == table.does.by
    assert entry["outcome"] == ("done" if answer.status_code < 400 else "refused")
    assert entry["by"]["kind"] == "key"
    assert entry["by"]["address"] == "127.0.0.1"
    assert client.headers["Authorization"].removeprefix("Bearer ").startswith(entry["by"]["prefix"])
    for sent, template in zip(route.path.split("/"), table.path.split("/"), strict=True):
        assert ":" in template or sent in entry["target"]
    if ":" in table.path:
        assert UNKNOWN_ID not in str(entry), "an id of a person or group is hashed"


@each_audited
def test_who_is_not_let_in_leaves_no_entry(
    server: Server, client: Client, project: str, route: Mounted, table: Route
) -> None:
    others = frozenset({"ingest", "query"})
    with server.client(server.key(project, scopes=others)) as other, server.client() as nobody:  # type: ignore[arg-type]
        assert (send(other, route).status_code, send(nobody, route).status_code) == (403, 401)
    assert entries(client) == []


def test_reading_leaves_no_entry(client: Client) -> None:
    for route in MOUNTED:
        if route.method == "GET" and route.scope == "admin":
            send(client, route)
    assert entries(client) == []


def test_what_commands_post_is_recorded_and_what_strangers_post_there_is_not() -> None:
    """A resource like those under /internal/, added to the application as they are."""
    recorded: list[tuple[str, str]] = []

    class Trail:
        now_ms = staticmethod(lambda: 1)

        async def begin(self, deed: Deed) -> None:
            deed.number = 1
            recorded.append((deed.action, deed.actor.name))

        async def end(self, deed: Deed, outcome: str) -> None:
            recorded.append((deed.action, outcome))

    class Backup:
        async def on_post(self, req: Any, resp: Any) -> None:
            if req.get_header("Authorization") != "Bearer token":
                raise InvalidKey

    class Admission:
        def is_local(self, shown: Any) -> bool:
            return shown.authorization == "Bearer token"

    auditor = Auditor(Trail(), Admission(), Addresses(Settings()), "")  # type: ignore[arg-type]
    backup = Backup()
    auditor.audit_command("/internal/backup", backup)

    def post(**headers: str) -> None:
        request = falcon.asgi.Request(falcon.testing.create_scope(headers=headers), lambda: None)  # type: ignore[arg-type]
        asyncio.run(backup.on_post(request, falcon.asgi.Response()))

    with pytest.raises(InvalidKey):
        post(Authorization="Bearer guessed")
    assert recorded == []
    post(Authorization="Bearer token", **{"Headrace-User": "ada"})
    assert recorded == [("backup", "ada"), ("backup", "done")]


def test_each_route_that_commands_post_to_is_audited() -> None:
    can = SimpleNamespace(**vars(bare_capabilities()))
    app = create_app(can, Unread(timeout_s=1, max_bytes=1))  # type: ignore[arg-type]
    posted: list[str] = []
    for route in falcon.inspect.inspect_routes(app):
        if route.path.startswith(COMMANDS) and any(
            each.method == "POST" and not each.internal for each in route.methods
        ):
            posted.append(route.path)
            resource = app._router.find(route.path)[0]  # type: ignore[union-attr]
            assert "on_post" in vars(resource) or getattr(resource, "audits_itself", False), route.path
    assert "/internal/quarantine" in posted


RULES: dict[str, Any] = {
    "badges": [{"id": "seen", "title": "Seen", "fact": "custom.visit", "count": 1, "points": 30}],
    "journeys": [
        {
            "id": "wait",
            "trigger": {"event": "visit"},
            "steps": [{"id": "pause", "wait": "30d"}, {"id": "bye", "emit": {"event": "bye"}}],
        },
        {"id": "calls", "trigger": {"event": "visit"}, "steps": [{"id": "ask", "call": {"webhook": "nobody"}}]},
    ],
}


def test_each_change_in_control_is_recorded_with_what_it_made(client: Client) -> None:
    """A route that says `in_control` has no other entry than that of its transaction, so all of them are done here."""
    done: list[tuple[str, str | None]] = []

    def do(method: str, path: str, body: Any = None) -> Any:
        before = len(entries(client, limit=100))
        answer = client.request(method, path, json=body)
        assert answer.status_code < 300, answer.text
        new = entries(client, limit=100)
        assert len(new) == before + 1
        assert new[0]["outcome"] == "done"
        done.append((new[0]["action"], new[0]["detail"]))
        return answer.json() if answer.content else None

    version = do("PUT", "/api/v1/rules", RULES)["data"]["version"]
    assert done[-1] == ("apply_rules", f"version {version}")
    client.post("/api/v1/events", json={"name": "visit", "user_id": "u1"})
    do("POST", "/api/v1/participants/u1/points", {"points": 5, "key": "k"})
    assert done[-1] == ("grant_points", "granted 5 points")
    do("POST", "/api/v1/badges/seen/revocations", {"participant": "u1", "reason": "a mistake"})
    assert [each["action"] for each in entries(client, person="u1")] == ["revoke_badge", "grant_points"]
    [run] = client.get("/api/v1/journeys/wait/runs").json()["data"]
    do("POST", f"/api/v1/runs/{run['id']}/cancel")
    run = until(
        lambda: client.get("/api/v1/journeys/calls/runs").json()["data"][0], lambda run: run["status"] != "active"
    )
    do("POST", f"/api/v1/runs/{run['id']}/retry")

    hook = do("POST", "/api/v1/webhooks", {"url": "https://example.com/", "topics": ["badge.awarded"]})["data"]
    assert hook["id"] in str(done[-1])
    do("PATCH", f"/api/v1/webhooks/{hook['id']}", {"topics": ["points.changed"]})
    do("POST", f"/api/v1/webhooks/{hook['id']}/rotate")
    test = do("POST", f"/api/v1/webhooks/{hook['id']}/test")["data"]
    do("POST", f"/api/v1/webhooks/{hook['id']}/deliveries/{test['id']}/redeliver")
    do("POST", f"/api/v1/webhooks/{hook['id']}/deliveries/redeliver", {"status": "delivered"})
    do("DELETE", f"/api/v1/webhooks/{hook['id']}")

    key = do("POST", "/api/v1/keys", {"name": "a"})["data"]
    assert done[-1] == ("create_key", f"made {key['id']} ({key['prefix']}…)")
    new = do("POST", f"/api/v1/keys/{key['id']}/rotate")["data"]
    assert new["id"] in str(done[-1])
    do("DELETE", f"/api/v1/keys/{new['id']}")

    for user in ("a", "b"):
        client.post("/v1/identify", json={"userId": user, "messageId": user, "type": "identify"})
    client.post("/v1/alias", json={"userId": "a", "previousId": "b", "messageId": "ab", "type": "alias"})
    do("DELETE", "/api/v1/users/a/aliases/b")
    do("PUT", "/api/v1/retention", {"keep": "90d"})

    started = client.post("/v1/admin/events/replay", json={"filter": {"event": "visit"}, "async": True}).json()
    assert entries(client)[0]["detail"] == f"started {started['replay']['id']}"

    covered = {action for action, _ in done}
    in_control = {
        table.does.by for table in TABLES.values() if isinstance(table.does, Handled) and table.does.in_control
    }
    # These need a job that is still at work.
    assert in_control - covered == {"pause_replay", "resume_replay", "cancel_replay"}


def test_a_dry_run_is_not_taken_for_a_change(client: Client) -> None:
    assert client.put("/api/v1/rules?dry_run=true", json=RULES).status_code == 200
    assert entries(client) == []
    client.post("/v1/admin/events/replay", json={"filter": {"event": "x"}, "dryRun": True})
    assert [each["detail"] for each in entries(client)] == ["dry run"]


def test_the_audit_of_another_project_or_mode_is_not_shown(server: Server, client: Client, project: str) -> None:
    client.post("/api/v1/keys", json={})
    for other, mode in ((f"{project}-2", "live"), (project, "test")):
        with server.client(server.key(other, mode)) as stranger:  # type: ignore[arg-type]
            assert entries(stranger) == []


def test_entries_are_filtered_and_paged(client: Client) -> None:
    for name in ("a", "b", "c"):
        client.post("/api/v1/keys", json={"name": name})
    client.post("/api/v1/keys", json={"scopes": ["x"]})
    assert [each["outcome"] for each in entries(client)] == ["refused", "done", "done", "done"]
    assert len(entries(client, outcome="done", action="create_key")) == 3
    assert entries(client, action="apply_rules") == entries(client, to="2001-01-01") == []
    assert len(entries(client, by=entries(client)[0]["by"]["prefix"])) == 4
    found: list[Any] = []
    cursor: str | None = ""
    while cursor is not None:
        page = client.get(PATH, params={"limit": 2, "cursor": cursor, "outcome": "done"}).json()
        found += page["data"]
        cursor = page["meta"]["next_cursor"]
    assert found == entries(client, outcome="done")
    page = client.get(PATH, params={"limit": 2}).json()
    for wrong in (
        {"cursor": page["meta"]["next_cursor"], "outcome": "done"},
        {"cursor": "x"},
        {"outcome": "well"},
        {"from": "soon"},
        {"limit": 101},
    ):
        assert client.get(PATH, params=wrong).status_code == 400
