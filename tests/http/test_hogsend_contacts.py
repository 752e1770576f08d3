"""Hogsend's contacts, groups and its Studio's way to send an event, as its client calls them."""

from typing import Any

import pytest

from tests.server import Client, Server

CONTACTS, FIND, GROUPS = "/v1/contacts", "/v1/contacts/find", "/v1/groups"


def upsert(client: Client, **body: Any) -> dict[str, Any]:
    reply = client.put(CONTACTS, json=body)
    assert reply.status_code == 200, reply.text
    return reply.json()


def find(client: Client, **params: str) -> list[dict[str, Any]]:
    reply = client.get(FIND, params=params)
    assert reply.status_code == 200, reply.text
    return reply.json()["contacts"]


def delete(client: Client, **body: str) -> int:
    return client.request("DELETE", CONTACTS, json=body).status_code


def test_a_contact_is_made_and_then_linked_to_its_user_id_under_the_same_id(client: Client) -> None:
    first = upsert(client, email=" Ada@Link.example", properties={"plan": "free", "old": 1})
    assert (first["created"], first["linked"]) == (True, False)
    second = upsert(client, email="ada@link.example", userId="link-1", properties={"plan": "pro", "old": None})
    assert second == {"id": first["id"], "created": False, "linked": True}
    assert upsert(client, userId="link-1") == {"id": first["id"], "created": False, "linked": False}
    [contact] = find(client, userId="link-1")
    assert contact == find(client, email="ADA@link.example")[0]
    assert (contact["id"], contact["externalId"], contact["email"]) == (first["id"], "link-1", "ada@link.example")
    assert contact["properties"] == {"plan": "pro"}
    assert contact["firstSeenAt"] <= contact["lastSeenAt"]


def test_a_contact_is_the_person_that_other_apis_know(client: Client) -> None:
    upsert(client, email="x@same.example", userId="same-1", anonymousId="same-anon", properties={"plan": "pro"})
    person = client.get("/api/v1/users/same-anon").json()["data"]
    assert (person["id"], person["traits"]) == ("same-1", {"plan": "pro", "email": "x@same.example"})
    identify = {"type": "identify", "userId": "same-2", "traits": {"email": "y@same.example"}}
    assert client.post("/v1/batch", json={"batch": [identify]}).status_code == 200
    [contact] = find(client, email="y@same.example")
    assert contact["externalId"] == "same-2"


def test_a_deleted_contact_is_found_again_once_something_is_said_of_it(client: Client) -> None:
    upsert(client, email="d@gone.example", userId="gone-1", properties={"plan": "pro"})
    assert delete(client, email="d@gone.example") == 200
    assert find(client, userId="gone-1") == find(client, email="d@gone.example") == []
    assert delete(client, userId="gone-1") == 404
    assert upsert(client, userId="gone-1", properties={"size": 2})["created"]
    [contact] = find(client, userId="gone-1")
    assert (contact["email"], contact["properties"]) == (None, {"size": 2})


def test_a_group_has_properties_and_members(client: Client) -> None:
    body = {"groupType": "company", "groupKey": "a/b", "displayName": "AB", "properties": {"size": 1, "old": 1}}
    group = client.post(GROUPS, json=body).json()["group"]
    body = {"groupType": "company", "groupKey": "a/b", "properties": {"size": 2, "old": None}}
    assert client.post(GROUPS, json=body).json()["group"]["properties"] == {"size": 2}
    shown = client.get("/v1/groups/company/a%2Fb").json()["group"]
    assert (shown["id"], shown["displayName"], shown["groupKey"]) == (group["id"], "AB", "a/b")
    assert shown in client.get(GROUPS, params={"groupType": "company"}).json()["groups"]

    contact = upsert(client, email="m@member.example", userId="member-1")
    members = "/v1/groups/company/a%2Fb/members"
    joined = client.post(members, json={"contactId": contact["id"]}).json()
    assert (joined["created"], joined["membership"]["groupId"]) == (True, group["id"])
    assert not client.post(members, json={"contactId": contact["id"]}).json()["created"]
    [member] = client.get(members).json()["members"]
    assert (member["contactId"], member["email"], member["externalId"]) == (
        contact["id"],
        "m@member.example",
        "member-1",
    )
    assert client.get("/api/v1/users/member-1").json()["data"]["groups"] == [{"type": "company", "key": "a/b"}]
    assert client.delete(f"{members}/{contact['id']}").json() == {"removed": True}
    assert client.delete(f"{members}/{contact['id']}").json() == {"removed": False}
    assert client.get(members).json() == {"members": []}


def test_groups_of_an_event_are_joined(client: Client) -> None:
    event = {"name": "bought", "userId": "eg-1", "value": 5, "currency": "EUR", "groups": {"company": "eg"}}
    assert client.post("/v1/events", json=event).status_code == 202
    assert client.get("/api/v1/groups/company/eg").json()["data"]["users"] == 1
    assert client.get("/api/v1/events/stats", params={"name": "bought"}).json()["data"]["sum"] == 5


def test_the_studio_fires_an_event(client: Client) -> None:
    body = {"event": "fired", "userId": "fire-1", "userEmail": "f@fire.example", "properties": {"n": 1}}
    headers = {"Idempotency-Key": "once"}
    assert client.post("/v1/admin/events", json=body, headers=headers).json() == {"stored": True, "exits": []}
    reply = client.post("/v1/admin/events", json=body, headers=headers)
    assert (reply.status_code, reply.json()["stored"]) == (202, False)
    [row] = client.get("/v1/admin/events", params={"event": "fired"}).json()["events"]
    assert (row["userId"], row["properties"]) == ("fire-1", {"n": 1})
    assert find(client, email="f@fire.example")[0]["externalId"] == "fire-1"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", CONTACTS, {}),
        ("PUT", CONTACTS, {"email": ""}),
        ("PUT", CONTACTS, {"userId": 5}),
        ("PUT", CONTACTS, {"userId": "u", "mail": "x"}),
        ("PUT", CONTACTS, {"userId": "u", "lists": {"news": True}}),
        ("PUT", CONTACTS, {"userId": "u", "properties": []} | {"properties": 5}),
        ("DELETE", CONTACTS, {}),
        ("POST", GROUPS, {"groupType": "company"}),
        ("POST", GROUPS, {"groupType": "x" * 61, "groupKey": "k"}),
        ("POST", "/v1/groups/company/k/members", {"contactId": "nobody"}),
        ("POST", "/v1/groups/company/k/members", {"contactId": "c047ac70-0000-8000-8000-000000000001", "role": "x"}),
        ("POST", "/v1/admin/events", {"userId": "u"}),
        ("POST", "/v1/admin/events", {"event": "x"}),
    ],
)
def test_what_is_wrong_is_refused_in_hogsends_words(client: Client, method: str, path: str, body: Any) -> None:
    reply = client.request(method, path, json=body)
    assert (reply.status_code, list(reply.json())) == (400, ["error"]), reply.text


def test_who_is_unknown_is_not_found(client: Client) -> None:
    assert delete(client, userId="nobody-here") == 404
    unknown = {"contactId": "c047ac70-0000-8000-8000-ffffffffffff"}
    assert client.post("/v1/groups/company/k/members", json=unknown).status_code == 404
    assert client.get("/v1/groups/company/k").status_code == 404
    assert client.put(CONTACTS, json={"userId": "null"}).status_code == 404
    assert find(client, userId="nobody-here") == []


def test_a_key_that_may_be_in_a_page_can_neither_read_nor_delete(server: Server) -> None:
    with server.client(server.key(scopes={"ingest"})) as page:
        assert page.put(CONTACTS, json={"userId": "page-1"}).status_code == 200
        assert page.get(FIND, params={"userId": "page-1"}).status_code == 403
        assert page.request("DELETE", CONTACTS, json={"userId": "page-1"}).status_code == 403
        assert page.get(GROUPS).status_code == 403
        assert page.post("/v1/admin/events", json={"event": "x", "userId": "u"}).status_code == 403
