"""The routes about webhooks, and deliveries to real receivers, from the event to the signed request."""

from collections.abc import Iterator
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook

from tests.delivery.receivers import LOOPBACK, OK, Posted, Receiver, answer
from tests.server import Client, Server
from tests.waiting import until

RULES = b"""
facts:
  - {id: visit, event: visit, fact_type: visited, points: 2}
challenges:
  - {id: often, fact: visited, goal: 2}
badges:
  - {id: regular, fact: visited, count: 1}
"""
URL = "https://example.com/hook"
UNKNOWN = "/api/v1/webhooks/nothing"


@pytest.fixture(scope="module")
def hooking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    settings = {"HEADRACE_WEBHOOK_ALLOWED_NETWORKS": LOOPBACK, "HEADRACE_FLUSH_INTERVAL_MS": "50"}
    settings |= {"HEADRACE_MAX_WEBHOOKS": "3"}
    server = Server(tmp_path_factory.mktemp("data"), settings).start()
    yield server
    assert server.stop() == 0


@pytest.fixture
def hooks(hooking: Server, project: str) -> Iterator[Client]:
    with hooking.client(hooking.key(project)) as client:
        yield client


def create(client: Client, **fields: object) -> dict[str, Any]:
    reply = client.post("/api/v1/webhooks", json={"url": URL, "topics": ["badge.awarded"]} | fields)
    assert reply.status_code == 201, reply.text
    return reply.json()["data"]


def problem(client: Client, method: str, path: str, body: object = None, status: int = 400) -> str:
    reply = client.request(method, path, json=body)
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    return reply.json()["detail"]


def delivery(client: Client, webhook: str, key: str) -> dict[str, Any]:
    return client.get(f"/api/v1/webhooks/{webhook}/deliveries/{key}").json()["data"]


def ended(client: Client, webhook: str, key: str, status: str) -> dict[str, Any]:
    return until(lambda: delivery(client, webhook, key), lambda found: found["status"] == status)


# Setting up


def test_the_secret_is_shown_once(hooks: Client) -> None:
    made = create(hooks, id="w", filter=None)
    assert made["secret"].startswith("whsec_")
    assert "secret" not in hooks.get("/api/v1/webhooks/w").text.replace("old_secret_until", "")
    assert "whsec_" not in hooks.get("/api/v1/webhooks").text
    assert "whsec_" not in hooks.patch("/api/v1/webhooks/w", json={"url": URL}).text


def test_a_webhook_is_listed_changed_and_deleted(hooks: Client) -> None:
    made = create(hooks)
    assert made["id"].startswith("wh_")
    create(hooks, id="a", topics=["event", "event"], filter={"name": "order.*", "tags": {"plan": "pro"}})
    listed = hooks.get("/api/v1/webhooks", params={"limit": 1}).json()
    assert [each["id"] for each in listed["data"]] == ["a"]
    assert (listed["data"][0]["topics"], listed["data"][0]["waiting"]) == (["event"], 0)
    assert listed["data"][0]["filter"] == {"name": "order.*", "tags": {"plan": "pro"}}
    rest = hooks.get("/api/v1/webhooks", params={"cursor": listed["meta"]["next_cursor"]}).json()
    assert [each["id"] for each in rest["data"]] == [made["id"]]
    assert rest["meta"]["next_cursor"] is None
    changed = hooks.patch("/api/v1/webhooks/a", json={"status": "disabled", "filter": {}}).json()["data"]
    assert (changed["status"], changed["reason"], changed["filter"]) == ("disabled", "It was disabled by hand.", {})
    assert hooks.patch("/api/v1/webhooks/a", json={"status": "enabled"}).json()["data"]["reason"] is None
    assert hooks.delete("/api/v1/webhooks/a").status_code == 204
    assert problem(hooks, "GET", "/api/v1/webhooks/a", status=404) == "There is no webhook 'a'."
    assert create(hooks, id="a")["status"] == "enabled"


def test_webhooks_are_of_one_project_and_mode(hooks: Client, hooking: Server, project: str) -> None:
    create(hooks, id="w")
    for key in (hooking.key(f"{project}-beside"), hooking.key(project, "test")):
        with hooking.client(key) as stranger:
            assert stranger.get("/api/v1/webhooks").json()["data"] == []
            for method, path in (
                ("GET", ""),
                ("DELETE", ""),
                ("POST", "/test"),
                ("POST", "/rotate"),
                ("GET", "/deliveries"),
            ):
                problem(stranger, method, f"/api/v1/webhooks/w{path}", status=404)
            create(stranger, id="w")


def test_a_project_has_so_many_webhooks(hooks: Client) -> None:
    for _ in range(3):
        create(hooks)
    assert "HEADRACE_MAX_WEBHOOKS is 3" in problem(hooks, "POST", "/api/v1/webhooks", {"url": URL, "topics": ["event"]})


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"url": None}, "'url' is required"),
        ({"url": ""}, "'url' is required"),
        ({"url": 7}, "url"),
        ({"url": "ftp://example.com/"}, "'url' must begin with https://"),
        ({"url": "http://10.0.0.1/"}, "'url' leads to 10.0.0.1, which is not allowed"),
        ({"url": "https://me:secret@example.com/"}, "'url' must not carry a user name"),
        ({"topics": None}, "'topics' is required"),
        ({"topics": []}, "'topics' is empty"),
        ({"topics": ["badge.award"]}, "did you mean 'badge.awarded'?"),
        ({"topics": "event"}, "topics"),
        ({"id": "My Hook"}, "'id' must have"),
        ({"id": ""}, "'id' must have"),
        ({"filter": {"name": "n"}}, "'filter' applies to the topic 'event' alone"),
        ({"topics": ["event"], "filter": {"nmae": "n"}}, "did you mean 'name'?"),
        ({"topics": ["event"], "filter": {"tags": {"a": 1}}}, "'filter' is not valid"),
        ({"topics": ["event"], "filter": {"tags": {str(n): "" for n in range(21)}}}, "more than 20"),
        ({"topics": ["event"], "filter": {"name": "n" * 1001}}, "more than 1000 characters"),
        ({"secret": "whsec_x"}, "has no member 'secret'"),
    ],
)
def test_a_bad_webhook_is_refused_with_what_is_wrong(hooks: Client, given: dict[str, Any], said: str) -> None:
    body = {"url": URL, "topics": ["badge.awarded"]} | given
    assert said in problem(hooks, "POST", "/api/v1/webhooks", body)
    assert hooks.get("/api/v1/webhooks").json()["data"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("PATCH", "", {}, "changes nothing"),
        ("PATCH", "", {"url": "http://127.1.1.1.1/#a"}, "fragment"),
        ("PATCH", "", {"url": ""}, "'url' is empty"),
        ("PATCH", "", {"topics": ["x"]}, "no topic 'x'"),
        ("PATCH", "", {"status": "on"}, "status"),
        ("PATCH", "", {"filter": {"name": "n"}}, "'filter' applies"),
        ("PATCH", "", {"secret": "x"}, "no member 'secret'"),
        ("POST", "/rotate", {"overlap_seconds": -1}, "'overlap_seconds'"),
        ("POST", "/rotate", {"overlap": 1}, "did you mean 'overlap_seconds'?"),
        ("POST", "/deliveries/redeliver", {"from": "soon"}, "from"),
        ("POST", "/deliveries/redeliver", {"from": "2026-01-02", "to": "2026-01-01"}, "must not be after"),
        ("POST", "/deliveries/redeliver", {"status": "gone"}, "status"),
        ("GET", "/deliveries?status=gone", None, "'status' must be one of waiting, delivered, dead"),
        ("GET", "/deliveries?limit=0", None, "'limit'"),
        ("GET", "/deliveries?cursor=x", None, "'cursor'"),
        ("GET", "/deliveries?statsu=dead", None, "did you mean 'status'?"),
    ],
)
def test_a_bad_request_is_refused_with_what_is_wrong(
    hooks: Client, method: str, path: str, body: object, said: str
) -> None:
    create(hooks, id="w")
    assert said in problem(hooks, method, f"/api/v1/webhooks/w{path}", body)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", ""), ("DELETE", ""), ("POST", "/test"), ("POST", "/rotate"), ("GET", "/deliveries")),
        *(("GET", "/deliveries/x"), ("POST", "/deliveries/x/redeliver"), ("POST", "/deliveries/redeliver")),
    ],
)
def test_what_is_not_there_is_not_found(hooks: Client, method: str, path: str) -> None:
    problem(hooks, method, f"{UNKNOWN}{path}", status=404)
    if path.startswith("/deliveries/x"):
        create(hooks, id="w")
        assert "no delivery 'x'" in problem(hooks, method, f"/api/v1/webhooks/w{path}", status=404)


# Deliveries


def test_what_an_event_sets_off_is_delivered_once_and_signed(hooks: Client) -> None:
    topics = ["badge.awarded", "challenge.completed", "points.changed"]
    with Receiver() as receiver:
        secret = create(hooks, id="w", url=receiver.url, topics=topics)["secret"]
        hooks.put("/api/v1/rules", content=RULES)
        sent = [hooks.post("/api/v1/events", json={"name": "visit", "user_id": "u"}).json()["data"] for _ in range(2)]
        receiver.wait_for(lambda: len(receiver.posted) >= 4)
        bodies = [Webhook(secret).verify(each.body, each.headers) for each in receiver.posted]
        assert sorted(body["type"] for body in bodies) == [*topics[:2], "points.changed", "points.changed"]
        [badge] = [body for body in bodies if body["type"] == "badge.awarded"]
        assert badge["timestamp"] == sent[0]["timestamp"]
        assert {key: badge["data"][key] for key in ("event_id", "participant", "badge_id", "rule")} == {
            "event_id": sent[0]["id"],
            "participant": "u",
            "badge_id": "regular",
            "rule": "regular",
        }
        replay = {"eventIds": [each["id"] for each in sent]}
        assert hooks.post("/v1/admin/events/replay", json=replay).json()["replayed"] == 2
        hooks.post("/api/v1/webhooks/w/test")
        receiver.wait_for(lambda: len(receiver.posted) >= 5)
        assert max(receiver.keys.values()) == 1, "a replay sends nothing again"
        assert Webhook(secret).verify(receiver.posted[4].body, receiver.posted[4].headers)["type"] == "test"


JOURNEY = """
journeys:
  - id: welcome
    trigger: {event: signed_up}
    steps:
      - {id: crm.1, call: {webhook: w, body: {template: hello}}}
      - id: known
        branch:
          when: steps["crm.1"].reply.ok == true
          then: [{id: thanks, emit: {event: welcomed}}]
"""


def test_a_journey_calls_a_webhook_and_goes_on_by_its_reply(hooks: Client) -> None:
    def reply(_connection: object, posted: Posted) -> bytes:
        return answer(200, b'{"ok": true}') if b'"journey.called"' in posted.body else OK

    with Receiver(reply) as receiver:
        topics = ["journey.called", "journey.ended", "event"]
        filters = {"name": "welcomed"}
        secret = create(hooks, id="w", url=receiver.url, topics=topics, filter=filters)["secret"]
        assert hooks.put("/api/v1/rules", content=JOURNEY).status_code == 200
        hooks.post("/api/v1/events", json={"name": "signed_up", "user_id": "u"})
        receiver.wait_for(lambda: len(receiver.posted) >= 3)
        bodies = {
            body["type"]: body["data"] for body in (Webhook(secret).verify(p.body, p.headers) for p in receiver.posted)
        }
        assert bodies["journey.called"]["body"] == {"template": "hello"}
        assert (bodies["event"]["name"], bodies["event"]["user_id"]) == ("welcomed", "u")
        assert (bodies["journey.ended"]["journey"], bodies["journey.ended"]["status"]) == ("welcome", "done")
        assert max(receiver.keys.values()) == 1


def test_the_events_that_match_the_filter_are_delivered(hooks: Client) -> None:
    with Receiver() as receiver:
        hooks.post("/api/v1/events", json={"name": "order.early", "tags": {"plan": "pro"}})
        wanted = {"name": "order.*", "tags": {"plan": "pro"}, "properties": {"amount": "5"}}
        secret = create(hooks, id="w", url=receiver.url, topics=["event"], filter=wanted)["secret"]
        for name, plan, amount in (("order.placed", "pro", 5), ("order.placed", "free", 5), ("visit", "pro", 5)):
            event = {"name": name, "user_id": "u/é", "tags": {"plan": plan}, "properties": {"amount": amount}}
            hooks.post("/api/v1/events", json=event)
        last = hooks.post("/api/v1/events", json=event | {"name": "order.last", "properties": {"amount": 5.0}}).json()
        receiver.wait_for(lambda: len(receiver.posted) >= 2)
        came = sorted(receiver.posted, key=lambda posted: posted.key)  # two at once may overtake each other
        bodies = [Webhook(secret).verify(each.body, each.headers) for each in came]
        assert [body["data"]["name"] for body in bodies] == ["order.placed", "order.last"]
        row = hooks.get("/api/v1/events", params={"name": "order.last"}).json()["data"][0]
        assert bodies[1] == {"type": "event", "timestamp": last["data"]["timestamp"], "data": row}
        assert came[1].key == last["data"]["id"]


def test_a_failed_delivery_is_tried_again_and_shows_each_attempt(hooks: Client) -> None:
    with Receiver(answer(500)) as receiver:
        create(hooks, id="w", url=receiver.url)
        hooks.put("/api/v1/rules", content=RULES)
        hooks.post("/api/v1/events", json={"name": "visit", "user_id": "u"})
        receiver.wait_for(lambda: len(receiver.posted) >= 1)
        key = receiver.posted[0].key
        failed = until(lambda: delivery(hooks, "w", key), lambda found: found["tries"])
        assert (failed["status"], failed["problem"]) == ("waiting", "The receiver answered 500.")
        assert [each["status"] for each in failed["attempts"]] == [500] * failed["tries"]
        shown = hooks.get("/api/v1/webhooks/w").json()["data"]
        assert (shown["problem"], shown["failing_since"] is None) == ("The receiver answered 500.", False)
        receiver.behave = lambda _connection, _posted: OK
        receiver.wait_for(lambda: len(receiver.posted) >= 2)
        done = ended(hooks, "w", key, "delivered")
        assert [each["status"] for each in done["attempts"]] == [500] * (done["tries"] - 1) + [200]
        assert receiver.posted[0].body == receiver.posted[1].body
        assert set(receiver.keys) == {key}
        assert hooks.get("/api/v1/webhooks/w").json()["data"]["failing_since"] is None


def test_dead_letters_are_listed_and_sent_again_one_by_one_or_as_a_range(hooks: Client) -> None:
    with Receiver(answer(500)) as receiver:
        create(hooks, id="w", url=receiver.url)
        keys = [hooks.post("/api/v1/webhooks/w/test").json()["data"]["id"] for _ in range(3)]
        for key in keys:
            assert ended(hooks, "w", key, "dead")["tries"] == 1, "a test is tried once"
        path = "/api/v1/webhooks/w/deliveries"
        page = hooks.get(path, params={"status": "dead", "limit": 2}).json()
        rest = hooks.get(path, params={"status": "dead", "cursor": page["meta"]["next_cursor"]}).json()
        assert [each["id"] for each in page["data"] + rest["data"]] == keys[::-1]
        assert hooks.get(path, params={"status": "delivered"}).json()["data"] == []
        assert hooks.get(path, params={"cursor": page["meta"]["next_cursor"]}).status_code == 400
        receiver.behave = lambda _connection, _posted: OK
        again = hooks.post(f"{path}/{keys[0]}/redeliver")
        assert (again.status_code, again.json()["data"]["id"]) == (202, keys[0])
        assert len(ended(hooks, "w", keys[0], "delivered")["attempts"]) == 2
        assert hooks.post(f"{path}/redeliver", json={"to": "2020-01-01"}).json()["data"]["redelivered"] == 0
        assert hooks.post(f"{path}/redeliver").json()["data"] == {"redelivered": 2, "more": False}
        for key in keys[1:]:
            ended(hooks, "w", key, "delivered")
        assert receiver.keys == dict.fromkeys(keys, 2)


def test_410_disables_the_webhook_and_says_so(hooks: Client, hooking: Server) -> None:
    with Receiver(answer(410)) as receiver:
        create(hooks, id="w", url=receiver.url)
        key = hooks.post("/api/v1/webhooks/w/test").json()["data"]["id"]
        ended(hooks, "w", key, "dead")
        shown = hooks.get("/api/v1/webhooks/w").json()["data"]
        assert (shown["status"], shown["reason"]) == ("disabled", "The receiver answered 410 Gone.")
        assert hooking.said("webhook_disabled")
        for path in ("/test", f"/deliveries/{key}/redeliver", "/deliveries/redeliver"):
            assert "Enable it first" in problem(hooks, "POST", f"/api/v1/webhooks/w{path}")
        receiver.behave = lambda _connection, _posted: OK
        assert hooks.patch("/api/v1/webhooks/w", json={"status": "enabled"}).status_code == 200
        assert hooks.post(f"/api/v1/webhooks/w/deliveries/{key}/redeliver").status_code == 202
        ended(hooks, "w", key, "delivered")


def test_after_a_rotation_both_secrets_sign_until_the_overlap_ends(hooks: Client) -> None:
    with Receiver() as receiver:
        old = create(hooks, id="w", url=receiver.url)["secret"]
        rotated = hooks.post("/api/v1/webhooks/w/rotate", json={"overlap_seconds": 3600}).json()["data"]
        assert rotated["old_secret_until"] is not None
        hooks.post("/api/v1/webhooks/w/test")
        receiver.wait_for(lambda: len(receiver.posted) >= 1)
        [posted] = receiver.posted
        for secret in (old, rotated["secret"]):
            Webhook(secret).verify(posted.body, posted.headers)
        newest = hooks.post("/api/v1/webhooks/w/rotate", json={"overlap_seconds": 0}).json()["data"]
        assert newest["old_secret_until"] is None
        hooks.post("/api/v1/webhooks/w/test")
        receiver.wait_for(lambda: len(receiver.posted) >= 2)
        assert len(receiver.posted[1].headers["webhook-signature"].split()) == 1
        Webhook(newest["secret"]).verify(receiver.posted[1].body, receiver.posted[1].headers)


def test_a_dead_receiver_delays_no_other(hooks: Client) -> None:
    with Receiver(lambda connection, _posted: connection.recv(1) and None) as dead, Receiver() as alive:
        create(hooks, id="dead", url=dead.url, topics=["event"])
        create(hooks, id="alive", url=alive.url, topics=["event"])
        for _ in range(30):
            hooks.post("/api/v1/events", json={"name": "n"})
        alive.wait_for(lambda: len(alive.posted) >= 30)  # which the thirty attempts at the dead one, 15 s each, outlast
        assert max(alive.keys.values()) == 1


def test_the_metrics_count_what_was_delivered_and_what_is_under_way(hooks: Client) -> None:
    with Receiver() as receiver:
        create(hooks, id="w", url=receiver.url)
        key = hooks.post("/api/v1/webhooks/w/test").json()["data"]["id"]
        ended(hooks, "w", key, "delivered")
        metrics = hooks.get("/metrics").text
        assert 'headrace_webhook_attempts_total{outcome="delivered"} 0.0' not in metrics
        for name in ("webhook_attempts_total", "webhook_deliveries_in_memory", "webhooks_failing"):
            assert f"headrace_{name}" in metrics
