"""The tables of the Solute document: one test per header, field, reply field and best practice."""

from typing import Any

import httpx
import pytest

from tests.server import Client, Server

PATH = "/api/events"
SENT_AT = "2025-01-15T10:30:05Z"
CONTEXT = {"library": {"name": "@solute-ai/sdk"}}


def make(kind: str = "track", **fields: Any) -> dict[str, Any]:
    """A valid event of a kind; a field given as ... is left out."""
    own = {"track": {"event": "Clicked"}, "group": {"groupId": "g"}, "alias": {"previousId": "p"}}
    event = {
        "type": kind,
        "timestamp": "2025-01-15T10:30:00Z",
        "messageId": f"{kind}-{sorted(fields)}",
        "context": CONTEXT,
        **own.get(kind, {}),
        **fields,
    }
    return {name: value for name, value in event.items() if value is not ...}


def send(client: Client, *events: object, sent_at: object = SENT_AT) -> httpx.Response:
    return client.post(PATH, json={"batch": list(events), "sentAt": sent_at})


def stored(client: Client, event: dict[str, Any]) -> dict[str, Any]:
    """Send one event and return it as Flux shows it afterwards."""
    response = send(client, event)
    assert response.status_code == 200
    assert response.json() == {"success": True, "processed": 1, "failed": 0}
    rows = client.get("/api/v1/events", params={"limit": 1000}).json()["data"]
    shown = [client.get(f"/api/v1/events/{row['id']}").json()["data"] for row in rows]
    [found] = [each for each in shown if each["message_id"] == event["messageId"]]
    return found


def failed(client: Client, event: object) -> str:
    """The error of an event that is refused; the good one beside it is stored."""
    good = make(messageId="good")
    response = send(client, event, good)
    assert response.status_code == 200
    [error] = response.json()["errors"]
    assert response.json() == {"success": True, "processed": 1, "failed": 1, "errors": [error]}
    assert error.keys() == {"index", "error"}
    assert error["index"] == 0
    assert client.get("/v1/admin/events").json()["total"] == 1
    return error["error"]


def refused(response: httpx.Response, code: str, status: int) -> bool:
    document = response.json()
    message = document["error"]["message"]
    assert message
    assert document == {"error": {"code": code, "message": message, "details": {}}, "statusCode": status}
    return response.status_code == status


# Headers


def test_content_type_is_application_json_but_nothing_depends_on_it(client: Client) -> None:
    body = b'{"batch":[{"type":"page","timestamp":"2025-01-15","messageId":"m","context":{}}],"sentAt":"2025-01-15"}'
    for kind in ("application/json", "application/json; charset=utf-8", "text/plain", "x", ""):
        response = client.post(PATH, content=body, headers={"Content-Type": kind})
        assert response.json() == {"success": True, "processed": 1, "failed": 0}


def test_x_api_key_is_required(server: Server, project: str) -> None:
    key = server.key(project, style="solute")
    with server.client() as client:
        body = {"batch": [make()], "sentAt": SENT_AT}
        assert client.post(PATH, json=body, headers={"X-Api-Key": key}).status_code == 200
        assert refused(client.post(PATH, json=body), "INVALID_API_KEY", 401)
        wrong = client.post(PATH, json=body, headers={"X-Api-Key": key + "x"})
        assert refused(wrong, "INVALID_API_KEY", 401)


# Body


def test_batch_is_a_required_array_of_1_to_100_events(client: Client) -> None:
    hundred = [make(messageId=f"m{number}") for number in range(100)]
    assert send(client, *hundred).json() == {"success": True, "processed": 100, "failed": 0}
    for wrong in (..., None, [], {}, "x", 7, [*hundred, make()]):
        body = {"sentAt": SENT_AT} | ({} if wrong is ... else {"batch": wrong})
        assert refused(client.post(PATH, json=body), "VALIDATION_ERROR", 400)
    assert client.get("/v1/admin/events").json()["total"] == 100


def test_sent_at_is_a_required_iso8601_string(client: Client) -> None:
    assert stored(client, make())["sent_at"] == SENT_AT
    for wrong in (None, "", "now", 1736937005, []):
        assert refused(send(client, make(), sent_at=wrong), "VALIDATION_ERROR", 400)
    assert refused(client.post(PATH, json={"batch": [make()]}), "VALIDATION_ERROR", 400)
    assert client.get("/v1/admin/events").json()["total"] == 1


# Event Object


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("track", "Clicked"),
        ("identify", "user.identified"),
        ("page", "page.viewed"),
        ("group", "group.identified"),
        ("alias", "user.aliased"),
    ],
)
def test_type_is_one_of_five(client: Client, kind: str, name: str) -> None:
    event = stored(client, make(kind))
    assert (event["type"], event["name"], event["source"]) == (kind, name, "solute")


def test_type_is_required(client: Client) -> None:
    for wrong in (..., None, "", "screen", "Track", 1, []):
        assert "type" in failed(client, make(type=wrong))


def test_timestamp_is_a_required_iso8601_string(client: Client) -> None:
    for wrong in (..., None, "", "then", 1736937000, {}):
        assert "timestamp" in failed(client, make(timestamp=wrong))
    event = stored(client, make(timestamp="2025-01-15T11:30:00.5+01:00"))
    assert event["timestamp"] == "2025-01-15T10:30:00.500Z"


def test_user_id_is_an_optional_string(client: Client) -> None:
    for wrong in (1, [], "u" * 256):
        assert "userId" in failed(client, make(userId=wrong))
    assert stored(client, make(userId="u"))["user_id"] == "u"
    assert stored(client, make("page", userId=None))["user_id"] is None
    assert stored(client, make("identify"))["user_id"] is None


def test_anonymous_id_is_an_optional_string(client: Client) -> None:
    for wrong in (1, [], "a" * 256):
        assert "anonymousId" in failed(client, make(anonymousId=wrong))
    assert stored(client, make(anonymousId="a"))["anonymous_id"] == "a"
    assert stored(client, make("page", anonymousId=None))["anonymous_id"] is None
    listed = client.get("/v1/admin/events", params={"userId": "a"}).json()["events"]
    assert [event["userId"] for event in listed] == ["a"]


def test_message_id_is_required_and_need_be_no_uuid(client: Client) -> None:
    for wrong in (..., None, "", 7, [], "m" * 256):
        assert "messageId" in failed(client, make(messageId=wrong))
    for message_id in ("msg_789", "m" * 255, "dc3a9b1e-8a3a-4b2e-9a55-0b7c6f3c1a11"):
        assert stored(client, make(messageId=message_id))["message_id"] == message_id


def test_context_is_a_required_object_that_comes_back_as_sent(client: Client) -> None:
    for wrong in (..., None, [1], "x", 1):
        assert "context" in failed(client, make(context=wrong))
    context = {"userAgent": "é", "screen": {"w": 2**60}, "page": {}, "sessionId": "s"}
    event = stored(client, make(context=context))
    assert event["context"] == context
    assert event["session_id"] == "s"


def test_event_is_required_for_track_alone(client: Client) -> None:
    for wrong in (..., None, "", " ", 1, {}, "e" * 201):
        assert "event" in failed(client, make(event=wrong))
    assert stored(client, make(event="e" * 200))["name"] == "e" * 200
    for kind in ("identify", "page", "group", "alias"):
        assert stored(client, make(kind))["type"] == kind


def test_properties_is_an_optional_object(client: Client) -> None:
    for wrong in ([1], "x", 1):
        assert "properties" in failed(client, make(properties=wrong))
    assert stored(client, make(properties={"z": 1, "a": [None]}))["properties"] == {"z": 1, "a": [None]}
    assert stored(client, make("page", properties=None))["properties"] == {}


def test_traits_is_an_optional_object(client: Client) -> None:
    for wrong in ([1], "x", 1):
        assert "traits" in failed(client, make("identify", traits=wrong))
    event = stored(client, make("identify", traits={"email": "a@b.c", "age": 7}))
    assert event["traits"] == {"email": "a@b.c", "age": 7}
    assert event["properties"] == {}
    assert stored(client, make("page", traits=None))["traits"] == {}


@pytest.mark.parametrize("field", ["name", "category"])
def test_a_pages_name_and_category_become_properties_where_it_has_none(client: Client, field: str) -> None:
    for wrong in (1, [], "n" * 201):
        assert field in failed(client, make("page", **{field: wrong}))
    page = make("page", messageId="1", **{field: "Home"}, properties={"path": "/"})
    assert stored(client, page)["properties"] == {"path": "/", field: "Home"}
    page = make("page", messageId="2", **{field: "Home"}, properties={field: None})
    assert stored(client, page)["properties"] == {field: None}
    page = make("page", messageId="3", **{field: "Home"})
    assert stored(client, page)["properties"] == {field: "Home"}
    assert stored(client, make("page", messageId="4", **{field: None}))["properties"] == {}


def test_group_id_is_required_for_group_alone(client: Client) -> None:
    for wrong in (..., None, "", 1, {}, "g" * 256):
        assert "groupId" in failed(client, make("group", groupId=wrong))
    assert stored(client, make("group"))["group_id"] == "g"
    assert stored(client, make("track"))["group_id"] is None


def test_previous_id_is_required_for_alias_alone(client: Client) -> None:
    for wrong in (..., None, "", 1, {}, "p" * 256):
        assert "previousId" in failed(client, make("alias", previousId=wrong))
    assert stored(client, make("alias"))["previous_id"] == "p"
    assert stored(client, make("track"))["previous_id"] is None


# Success Response


def test_success_is_false_only_when_all_failed(client: Client) -> None:
    assert send(client, make(), {}).json()["success"] is True
    response = send(client, {}, 7)
    assert response.status_code == 200
    errors = response.json()["errors"]
    assert response.json() == {"success": False, "processed": 0, "failed": 2, "errors": errors}


def test_processed_counts_the_events_that_were_taken(client: Client) -> None:
    assert send(client, make("track"), make("page"), {}).json()["processed"] == 2
    assert client.get("/v1/admin/events").json()["total"] == 2


def test_failed_counts_the_events_that_were_not(client: Client) -> None:
    assert send(client, make("track"), {}, None, []).json()["failed"] == 3


def test_errors_names_the_index_of_each_event_that_failed(client: Client) -> None:
    errors = send(client, {}, make(), {"type": "track"}, make("page")).json()["errors"]
    assert [error["index"] for error in errors] == [0, 2]
    assert all(error.keys() == {"index", "error"} and error["error"] for error in errors)
    assert "errors" not in send(client, make("alias")).json()


# Best Practices


def test_a_message_id_is_stored_once_and_its_repeat_looks_successful(client: Client) -> None:
    event = make()
    for events in ([event], [event], [event, event, make("page")]):
        response = send(client, *events)
        assert response.json() == {"success": True, "processed": len(events), "failed": 0}
    assert client.get("/v1/admin/events").json()["total"] == 2
