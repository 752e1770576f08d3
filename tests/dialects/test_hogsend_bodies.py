"""What Hogsend's bodies come to: an event with what a contact's lists and groups say, the filter of a replay, a member."""

import msgspec
import pytest

from headrace.dialects import hogsend_contacts, hogsend_data, hogsend_replays
from headrace.model.errors import InvalidRequest
from headrace.model.filters import Filters, Observed
from headrace.model.person import Contact, Person
from tests.dialects.given import context


def parsed(**given: object) -> dict[str, object]:
    body = msgspec.json.encode({"name": "bought", "email": " Ada@X.se "} | given)
    [item] = hogsend_data.parse_event(body, context()).items
    assert item.event is not None
    assert item.event.user_id == "ada@x.se"
    return msgspec.json.decode(item.event.context or "{}")


def test_lists_and_groups_stay_with_the_event_unless_they_are_empty() -> None:
    lists, groups = {"news": True}, {"company": "acme"}
    assert parsed(lists=lists, groups=groups, currency="EUR") == {"lists": lists, "groups": groups, "currency": "EUR"}
    assert parsed(lists={}, groups={}, currency="") == {}
    assert parsed(lists=lists) == {"lists": lists}
    assert parsed(groups=groups) == {"groups": groups}


def test_each_part_of_a_replays_filter_selects_events_and_empty_ones_select_nothing() -> None:
    whole = {"event": "n", "userId": "u", "source": "flux", "from": "2024-01-01", "to": "2024-01-02"}

    def selected(given: dict[str, str]) -> Filters:
        return hogsend_replays.parse_replay(msgspec.json.encode({"filter": given, "limit": 7})).selection.filters

    assert selected(whole) == Filters(
        name="n", person="u", source="flux", from_ms=1_704_067_200_000, to_ms=1_704_240_000_000 - 1
    )
    assert selected(dict.fromkeys(whole, "") | {"event": "n"}) == Filters(name="n")


def test_a_member_is_named_by_the_id_of_a_contact_and_by_nothing_else() -> None:
    contact = Contact(7, 5, Person("u", ["u", "anon"], {}, []), "u", ["u"])
    shown = msgspec.json.decode(hogsend_contacts.render_upsert(contact, created=True, linked=False))
    assert (shown["created"], shown["linked"]) == (True, False)
    assert hogsend_contacts.parse_member(msgspec.json.encode({"contactId": shown["id"]})) == 7
    for wrong in ({"contactId": "7"}, {"contactId": ""}, {}, {"contactId": shown["id"], "role": "admin"}):
        with pytest.raises(InvalidRequest):
            hogsend_contacts.parse_member(msgspec.json.encode(wrong))


def test_a_contact_is_deleted_by_an_event_of_each_of_its_ids() -> None:
    contact = Contact(7, 5, Person("u", ["u", "anon"], {}, []), "u", ["u"])
    events = [item.event for item in hogsend_contacts.deletions(contact, context())]
    assert [(each.user_id, each.anonymous_id) for each in events if each] == [("u", ""), ("", "anon")]


def test_a_contact_is_shown_with_the_id_of_its_user_and_null_where_there_is_none() -> None:
    user = Contact(7, 5, Person("u", ["u", "anon"], {"email": "u@x.se", "plan": "pro"}, []), "u", ["u"])
    visitor = Contact(8, 8, Person("anon2", ["anon2"], {"email": 3}, []), "", [])
    seen = {"u": Observed("u", 2, 3000, 5000), "anon": Observed("anon", 1, 1000, 4000)}
    shown = msgspec.json.decode(hogsend_contacts.render_contacts([user, visitor], seen))["contacts"]
    assert [(each["externalId"], each["email"]) for each in shown] == [("u", "u@x.se"), (None, None)]
    assert [each["properties"] for each in shown] == [{"plan": "pro"}, {}]
    times = [(each["firstSeenAt"], each["lastSeenAt"]) for each in shown]
    assert times[0] == ("1970-01-01T00:00:01.000Z", "1970-01-01T00:00:05.000Z"), "of any of its ids"
