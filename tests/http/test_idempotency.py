"""The same event sent again: stored once, and answered as the first was."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.crash.test_lost_files import TRIMMED, trim_all
from tests.http.conftest import MakeServer
from tests.http.routes import stored
from tests.server import Client, Server

FLUX = "/api/v1/events"
BRICQS = "/api/v1/ingest/events"
SOLUTE = "/api/events"


def flux(**event: Any) -> dict[str, Any]:
    return {"name": "n", **event}


def bricqs(**event: Any) -> dict[str, Any]:
    return {"event_name": "n", "participant_id": "p", **event}


def solute(message_id: str, **event: Any) -> dict[str, Any]:
    return {"type": "page", "timestamp": "2025-01-15", "messageId": message_id, "context": {}, **event}


def solute_batch(*events: dict[str, Any]) -> dict[str, Any]:
    return {"batch": list(events), "sentAt": "2025-01-15"}


# What carries a key: (path, body, headers) of a request with the key "k".
KEYED: dict[str, tuple[str, Any, dict[str, str]]] = {
    "flux idempotency_key": (FLUX, flux(idempotency_key="k"), {}),
    "flux messageId": (FLUX, flux(messageId="k"), {}),
    "flux header": (FLUX, flux(), {"Idempotency-Key": "k"}),
    "flux batch idempotency_key": (f"{FLUX}/batch", [flux(idempotency_key="k")], {}),
    "flux batch header": (f"{FLUX}/batch", {"events": [flux()]}, {"Idempotency-Key": "k"}),
    "bricqs idempotency_key": (BRICQS, bricqs(idempotency_key="k"), {}),
    "bricqs header": (BRICQS, bricqs(), {"Idempotency-Key": "k"}),
    "bricqs batch": (f"{BRICQS}/batch", {"events": [bricqs(idempotency_key="k")]}, {}),
    "bricqs batch header": (f"{BRICQS}/batch", {"events": [bricqs()]}, {"Idempotency-Key": "k"}),
    "bricqs sync": (f"{BRICQS}/sync", bricqs(idempotency_key="k"), {}),
    "bricqs sync header": (f"{BRICQS}/sync", bricqs(), {"Idempotency-Key": "k"}),
    "solute messageId": (SOLUTE, solute_batch(solute("k")), {}),
    "solute header": (SOLUTE, solute_batch(solute("x")), {"Idempotency-Key": "k"}),
}


def what_it_names(document: Any) -> Any:
    """An answer without what belongs to its own time."""
    hidden = ("timestamp", "processed_at")
    if isinstance(document, dict):
        return {key: what_it_names(value) for key, value in document.items() if key not in hidden}
    return document


@pytest.mark.parametrize(("path", "body", "headers"), KEYED.values(), ids=KEYED.keys())
def test_a_repeat_is_stored_once_and_answered_with_the_first_ones_ids(
    client: Client, path: str, body: Any, headers: dict[str, str]
) -> None:
    first = client.post(path, json=body, headers=headers)
    assert first.is_success
    for _ in range(2):
        again = client.post(path, json=body, headers=headers)
        assert again.status_code == first.status_code
        assert what_it_names(again.json()) == what_it_names(first.json())
    assert stored(client) == 1


def test_the_first_write_wins_and_a_repeat_is_answered_with_what_is_stored(client: Client) -> None:
    first = client.post(FLUX, json=flux(idempotency_key="k", value=1, user_id="a")).json()["data"]
    repeat = flux(idempotency_key="k", name="m", value=2, user_id="b", timestamp="2025-01-15")
    for _ in range(2):  # at first the log has it, and then the store, too
        answer = client.post(FLUX, json=repeat)
        assert answer.status_code == 201
        assert answer.json()["data"] == first
        client.get(FLUX)
    kept = client.get(f"{FLUX}/{first['id']}").json()["data"]
    assert {key: kept[key] for key in first} == first
    assert client.get(f"{FLUX}/stats").json()["data"]["sum"] == 1


def test_the_sync_route_answers_a_repeat_with_the_first_event_and_its_fact(client: Client) -> None:
    first = client.post(f"{BRICQS}/sync", json=bricqs(idempotency_key="k")).json()
    again = client.post(f"{BRICQS}/sync", json=bricqs(idempotency_key="k", event_name="m")).json()
    assert what_it_names(again) == what_it_names(first)
    assert again["fact_type"] == "custom.n"


def test_a_metrics_repeat_is_answered_with_the_point_that_is_stored(client: Client) -> None:
    point = {"name": "m", "type": "gauge", "value": 1, "timestamp": "2025-01-15T10:30:00Z", "idempotency_key": "k"}
    first = client.post("/api/v1/metrics", json=point)
    other = point | {"name": "o", "type": "set", "value": "x", "timestamp": "2025-01-16"}
    assert client.post("/api/v1/metrics", json=other).json() == first.json()


def test_hogsends_repeat_is_answered_with_the_contact_of_the_stored_event(client: Client) -> None:
    event = {"name": "n", "userId": "a", "idempotencyKey": "k"}
    client.post("/v1/events", json=event)
    again = client.post("/v1/events", json=event | {"userId": "b", "lists": {"news": True}}).json()
    assert again == {"stored": False, "exits": [], "contactKey": "a"}


def test_a_repeat_is_answered_with_what_is_stored_after_the_log_has_let_go_of_it(make_server: MakeServer) -> None:
    server = make_server(TRIMMED)
    with server.client("secret") as client:
        first = client.post(FLUX, json=flux(idempotency_key="k", value=1)).json()["data"]
        point = {"name": "m", "type": "counter", "value": 5, "idempotency_key": "k"}
        measured = client.post("/api/v1/metrics", json=point).json()
        trim_all(client, server)
        assert client.post(FLUX, json=flux(idempotency_key="k", name="m", value=2)).json()["data"] == first
        assert client.post("/api/v1/metrics", json=point | {"value": 6}).json()["data"] == measured["data"]


def test_a_repeat_by_another_route_of_the_dialect_is_a_repeat(client: Client) -> None:
    message_id = client.post(BRICQS, json=bricqs(idempotency_key="k")).json()["message_id"]
    batch = client.post(f"{BRICQS}/batch", json={"events": [bricqs(), bricqs(idempotency_key="k")]})
    assert batch.json()["message_ids"][1] == message_id
    sync = client.post("/ingest/events/sync", json=bricqs(idempotency_key="k")).json()
    assert client.get(f"{FLUX}/{sync['event_id']}").json()["data"]["message_id"] == "k"
    assert stored(client) == 2


def test_the_header_wins_over_the_bodys_key(client: Client) -> None:
    header = {"Idempotency-Key": "k"}
    first = client.post(FLUX, json=flux(idempotency_key="a"), headers=header).json()["data"]["id"]
    assert client.post(FLUX, json=flux(idempotency_key="b"), headers=header).json()["data"]["id"] == first
    assert client.post(FLUX, json=flux(idempotency_key="a")).json()["data"]["id"] != first
    assert client.post(FLUX, json=flux(idempotency_key="k")).json()["data"]["id"] == first
    assert stored(client) == 2


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (f"{FLUX}/batch", [flux(user_id=f"u{number}") for number in range(3)]),
        (f"{BRICQS}/batch", {"events": [bricqs()] * 3}),
        (SOLUTE, solute_batch(*(solute("same") for _ in range(3)))),
    ],
    ids=["flux", "bricqs", "solute"],
)
def test_the_header_counts_on_a_batch_together_with_the_items(client: Client, path: str, body: Any) -> None:
    for _ in range(3):
        assert client.post(path, json=body, headers={"Idempotency-Key": "k"}).is_success
    assert stored(client) == 3
    assert client.post(path, json=body, headers={"Idempotency-Key": "l"}).is_success
    assert stored(client) == 6


# (path, an item that is taken, one that is refused, the same corrected, how a batch is made of items)
REFUSED: dict[str, tuple[str, Any, Any, Any, Any]] = {
    "flux": (f"{FLUX}/batch", flux(), flux(value="1"), flux(value=1), lambda items: items),
    "bricqs": (
        f"{BRICQS}/batch",
        bricqs(),
        {"event_name": "m"},
        bricqs(event_name="m"),
        lambda items: {"events": items},
    ),
    "solute": (SOLUTE, solute("a"), solute("b", type="x"), solute("b"), lambda items: solute_batch(*items)),
    "segment": (
        "/v1/batch",
        {"type": "page", "userId": "u", "messageId": "a"},
        {"type": "page", "messageId": "b"},
        {"type": "page", "userId": "u", "messageId": "b"},
        lambda items: {"batch": items},
    ),
    "gem": (
        "/api/v1/flux/batch",
        flux(),
        flux(tags=[1]),
        flux(tags={}),
        lambda items: {"events": items},
    ),
}


@pytest.mark.parametrize("family", REFUSED)
def test_a_refused_item_sent_again_corrected_and_alone_under_the_same_header_is_stored(
    client: Client, family: str
) -> None:
    path, taken, refused, corrected, batch = REFUSED[family]
    header = {"Idempotency-Key": "pf"}
    client.post(path, json=batch([taken, refused]), headers=header)
    assert stored(client) == 1
    for _ in range(2):
        assert client.post(path, json=batch([corrected]), headers=header).is_success
        assert stored(client) == 2
    client.post(path, json=batch([refused, taken]), headers=header)
    assert stored(client) == 2, "what was taken is a repeat wherever it stands"


def test_equal_items_count_by_how_many_came_before(client: Client) -> None:
    header = {"Idempotency-Key": "k"}
    first = client.post(f"{FLUX}/batch", json=[flux(), {}, flux()], headers=header)
    assert first.json()["data"]["accepted"] == 2
    second = client.post(f"{FLUX}/batch", json=[flux(), flux(), flux()], headers=header)
    assert second.json()["data"] == {"accepted": 3, "rejected": 0}
    assert stored(client) == 3


@pytest.mark.parametrize("key", ["k:0", "k:1", "k-0", "k0", "k/0", "k 0"])
def test_a_single_events_key_is_never_that_of_an_event_in_a_batch(client: Client, key: str) -> None:
    client.post(f"{FLUX}/batch", json=[flux(), flux()], headers={"Idempotency-Key": "k"})
    client.post(FLUX, json=flux(name="single"), headers={"Idempotency-Key": key})
    assert stored(client) == 3


def test_the_same_key_twice_in_one_batch_counts_once(client: Client) -> None:
    events = [bricqs(idempotency_key=key) for key in ("a", "b", "a", "a", "c")]
    reply = client.post(f"{BRICQS}/batch", json={"events": events}).json()
    first, second, third, fourth, fifth = reply["message_ids"]
    assert reply["accepted"] == 5
    assert first == third == fourth
    assert len({first, second, fifth}) == 3
    assert stored(client) == 3
    both = client.post(SOLUTE, json=solute_batch(solute("m"), solute("m"))).json()
    assert both == {"success": True, "processed": 2, "failed": 0}
    assert stored(client) == 4


def test_a_key_is_of_its_dialect_project_and_mode(server: Server, project: str) -> None:
    tenants = [(project, "live"), (project, "test"), (f"{project}-2", "live")]
    for owner, mode in tenants:
        with server.client(server.key(owner, mode)) as client:  # pyright: ignore[reportArgumentType]
            for _ in range(2):
                client.post(FLUX, json=flux(idempotency_key="k"))
                client.post(BRICQS, json=bricqs(idempotency_key="k"))
                client.post(SOLUTE, json=solute_batch(solute("k")))
            assert stored(client) == 3


def test_keys_are_told_apart_to_the_letter(client: Client) -> None:
    for key in ("k", "K", "k ", " k", "k\u0000", "k\u00e9", "ke\u0301", "\u00e9", "e\u0301"):
        for _ in range(2):
            client.post(FLUX, json=flux(idempotency_key=key))
    assert stored(client) == 9


def test_events_without_a_key_are_each_stored(client: Client) -> None:
    for headers in ({}, {"Idempotency-Key": ""}):
        for _ in range(2):
            assert client.post(FLUX, json=flux(), headers=headers).status_code == 201
    assert stored(client) == 4


def test_of_twenty_duplicates_at_once_one_is_stored(client: Client) -> None:
    together = threading.Barrier(20)

    def send(number: int) -> str:
        together.wait(30)
        event = flux(idempotency_key="k", user_id=f"u{number}")
        if number % 2:
            response = client.post(FLUX, json=event)
            assert response.status_code == 201
            return response.json()["data"]["id"]
        response = client.post(f"{FLUX}/batch", json=[flux(idempotency_key=f"own{number}"), event])
        assert response.json()["data"] == {"accepted": 2, "rejected": 0}
        return ""

    with ThreadPoolExecutor(20) as threads:
        ids = set(threads.map(send, range(20))) - {""}
    assert len(ids) == 1
    assert stored(client) == 1 + 10


def test_a_rejected_event_does_not_use_up_its_key(client: Client) -> None:
    assert client.post(FLUX, json=flux(idempotency_key="k", tags=[1])).status_code == 400
    assert client.post(FLUX, json=flux(idempotency_key="k")).status_code == 201
    assert stored(client) == 1


def test_a_repeat_causes_nothing_twice(client: Client) -> None:
    for _ in range(3):
        client.post(f"{BRICQS}/sync", json=bricqs(idempotency_key="k"))
    replay = {"filter": {"event": "n"}, "force": True, "dryRun": True}
    reply = client.post("/v1/admin/events/replay", json=replay).json()
    assert reply["replayed"] == len(reply["effects"]) == 1


def test_keys_are_known_after_a_kill(make_server: MakeServer) -> None:
    kept = ("flux idempotency_key", "flux batch header", "bricqs sync", "solute messageId")

    def answers(server: Server) -> list[Any]:
        with server.client("secret") as client:
            sent = [
                client.post(path, json=body, headers=headers) for path, body, headers in (KEYED[name] for name in kept)
            ]
            assert stored(client) == len(kept)
        return [what_it_names(answer.json()) for answer in sent]

    server = make_server()
    first = answers(server)
    server.kill()
    assert answers(server.start()) == first
