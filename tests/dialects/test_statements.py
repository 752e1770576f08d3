"""What the calls of each dialect say about people: from the request's bytes to the neutral statement."""

import json
from typing import Any

import pytest

from headrace.dialects import amplitude, hogsend_data, mixpanel, mixpanel_profiles, posthog, segment, solute, table
from headrace.dialects.statements import statement_of
from headrace.model.event import Event
from headrace.model.person import GroupKey, Op, Statement, may_say
from tests.dialects.given import context

ACME = GroupKey("company", "acme")
GROUP = GroupKey("group", "acme")


def said(parse: Any, body: object) -> Statement | None:
    batch = parse(json.dumps(body).encode(), context())
    assert len(batch.items) == 1
    assert not batch.rejections
    return statement_of(batch.items[0].event)


def sets(**values: Any) -> list[Op]:
    return [Op("set", name, value) for name, value in values.items()]


def equal(found: Statement | None, wanted: Statement | None) -> bool:
    """Sequences of any kind are alike."""
    if found is None or wanted is None:
        return found is wanted

    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, list | tuple) else value  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]

    return all(plain(getattr(found, field)) == plain(getattr(wanted, field)) for field in Statement.__struct_fields__)


def segment_call(**item: Any) -> Statement | None:
    return said(segment.parse_batch, {"batch": [item]})


SEGMENT = [
    (
        {"type": "identify", "userId": "u", "anonymousId": "a", "traits": {"plan": "pro"}},
        Statement("u", ("a",), "identify", ops=sets(plan="pro")),
    ),
    ({"type": "identify", "anonymousId": "a", "traits": {"x": 1}}, Statement("", ("a",), ops=sets(x=1))),
    ({"type": "identify", "userId": "u"}, Statement("u")),
    ({"type": "identify", "userId": "u", "context": {"traits": {"x": 1}}}, Statement("u", ops=sets(x=1))),
    ({"type": "alias", "userId": "u", "previousId": "a"}, Statement("u", (), "alias", "a")),
    ({"type": "alias", "anonymousId": "b", "previousId": "a"}, Statement("", ("b",), "alias", "a")),
    (
        {"type": "group", "userId": "u", "anonymousId": "a", "groupId": "acme", "traits": {"size": 3}},
        Statement("u", (), group=GROUP, group_ops=sets(size=3), groups=(GROUP,)),
    ),
    ({"type": "track", "event": "x", "userId": "u", "anonymousId": "a"}, None),
    ({"type": "track", "event": "x", "userId": "u", "traits": {"x": 1}}, None),
    ({"type": "page", "userId": "u"}, None),
]


@pytest.mark.parametrize(("item", "wanted"), SEGMENT)
def test_segment(item: Any, wanted: Statement | None) -> None:
    assert equal(segment_call(**item), wanted)


def test_solute_speaks_segments_spec() -> None:
    item: dict[str, Any] = {"messageId": "1", "timestamp": "2025-01-15T10:30:00Z", "context": {}}
    item |= {"type": "identify", "userId": "u", "anonymousId": "a", "traits": {"plan": "pro"}}
    found = said(solute.parse_batch, {"batch": [item], "sentAt": "2025-01-15T10:30:05Z"})
    assert equal(found, Statement("u", ("a",), "identify", ops=sets(plan="pro")))


POSTHOG = [
    (
        "$identify",
        {"$anon_distinct_id": "a", "$device_id": "d", "$set": {"x": 1}, "$set_once": {"ref": "r"}},
        Statement("u", ("a",), "identify", ops=[Op("once", "ref", "r"), *sets(x=1)]),
    ),
    ("$identify", {"$device_id": "d", "$set": {"x": 1}}, Statement("u", ops=sets(x=1))),
    ("$set", {"$set": {"x": 1}, "$unset": ["y"]}, Statement("u", ops=[*sets(x=1), Op("unset", "y")])),
    ("$unset", {"$unset": ["y"]}, Statement("u", ops=[Op("unset", "y")])),
    ("$pageview", {"$set_once": {"ref": "r"}, "$device_id": "d"}, Statement("u", ops=[Op("once", "ref", "r")])),
    ("$pageview", {"$set": {"x": 1}, "$is_identified": False}, Statement("", ("u",), ops=sets(x=1))),
    ("$pageview", {"$device_id": "d"}, None),
    ("$create_alias", {"alias": "new"}, Statement("new", (), "alias", "u")),
    ("$merge_dangerously", {"alias": "old"}, Statement("u", (), "alias", "old")),
    (
        "$groupidentify",
        {"$group_type": "company", "$group_key": "acme", "$group_set": {"size": 3}},
        Statement("u", group=ACME, group_ops=sets(size=3), groups=(ACME,)),
    ),
]


@pytest.mark.parametrize(("name", "properties", "wanted"), POSTHOG)
def test_posthog(name: str, properties: Any, wanted: Statement | None) -> None:
    body = {"event": name, "distinct_id": "u", "properties": properties}
    assert equal(said(posthog.parse, body), wanted)


def test_posthogs_sets_beside_the_properties_count_like_those_in_them() -> None:
    body = {"event": "$set", "distinct_id": "u", "$set": {"x": 1}, "$set_once": {"ref": "r"}}
    found = said(posthog.parse, body | {"properties": {"$set": {"y": 2}}})
    assert equal(found, Statement("u", ops=[Op("once", "ref", "r"), *sets(y=2, x=1)]))


AMPLITUDE = [
    (
        {"event_type": "$identify", "user_properties": {"$set": {"x": 1}, "$setOnce": {"r": 2}, "$unset": {"y": "-"}}},
        Statement("u", ("d",), "identify", ops=[Op("unset", "y"), Op("once", "r", 2), *sets(x=1)]),
    ),
    (
        {"event_type": "$identify", "user_properties": {"$clearAll": "-", "$add": {"n": 1}}},
        Statement("u", ("d",), "identify", ops=[Op("clear"), Op("add", "n", 1)]),
    ),
    ({"event_type": "bought", "user_properties": {"plan": "pro"}}, Statement("u", (), ops=sets(plan="pro"))),
    ({"event_type": "bought"}, None),
    (
        {"event_type": "$groupidentify", "groups": {"company": "acme"}, "group_properties": {"$set": {"size": 3}}},
        Statement("u", group=ACME, group_ops=sets(size=3), groups=(ACME,)),
    ),
    (
        {"event_type": "$identify", "groups": {"company": ["acme"]}},
        Statement("u", ("d",), "identify", groups=(ACME,)),
    ),
]


@pytest.mark.parametrize(("event", "wanted"), AMPLITUDE)
def test_amplitude(event: Any, wanted: Statement | None) -> None:
    body = {"api_key": "k", "events": [{"user_id": "u", "device_id": "d"} | event]}
    assert equal(said(amplitude.parse, body), wanted)


MIXPANEL_EVENTS = [
    ("$identify", {"distinct_id": "u", "$identified_id": "u", "$anon_id": "a"}, Statement("u", ("a",), "identify")),
    ("$create_alias", {"distinct_id": "a", "alias": "u"}, Statement("u", (), "alias", "a")),
    ("$merge", {"$distinct_ids": ["u", "a"]}, Statement("u", (), "alias", "a")),
    ("bought", {"distinct_id": "u", "$device_id": "d"}, None),
]


@pytest.mark.parametrize(("name", "properties", "wanted"), MIXPANEL_EVENTS)
def test_mixpanels_events(name: str, properties: Any, wanted: Statement | None) -> None:
    assert equal(said(mixpanel.parse_track, [{"event": name, "properties": properties}]), wanted)


MIXPANEL_UPDATES = [
    ({"$set": {"x": 1}}, sets(x=1)),
    ({"$set_once": {"x": 1}}, [Op("once", "x", 1)]),
    ({"$add": {"n": 2}}, [Op("add", "n", 2)]),
    ({"$append": {"l": "v"}}, [Op("append", "l", "v")]),
    ({"$union": {"l": ["v"]}}, [Op("union", "l", ["v"])]),
    ({"$remove": {"l": "v"}}, [Op("remove", "l", "v")]),
    ({"$unset": ["x"]}, [Op("unset", "x")]),
    ({"$delete": ""}, [Op("clear")]),
]


@pytest.mark.parametrize(("update", "wanted"), MIXPANEL_UPDATES)
def test_mixpanels_updates(update: Any, wanted: list[Op]) -> None:
    assert equal(said(mixpanel_profiles.parse_engage, [{"$distinct_id": "u"} | update]), Statement("u", ops=wanted))
    found = said(mixpanel_profiles.parse_groups, [{"$group_key": "company", "$group_id": "acme"} | update])
    assert equal(found, Statement(group=ACME, group_ops=wanted))


HOGSEND = [
    ({"userId": "u"}, None),
    ({"email": "A@x.se"}, Statement("", ("a@x.se",), ops=sets(email="a@x.se"))),
    (
        {"userId": "u", "email": "a@x.se", "contactProperties": {"plan": "pro", "old": None}},
        Statement("u", ("a@x.se",), "identify", ops=[*sets(plan="pro"), Op("unset", "old"), *sets(email="a@x.se")]),
    ),
    (
        {"userId": "u", "anonymousId": "a", "contactProperties": {"x": 1}},
        Statement("u", ("a",), "identify", ops=sets(x=1)),
    ),
    ({"userId": "u", "groups": {"company": "acme"}}, Statement("u", groups=(ACME,))),
]


@pytest.mark.parametrize(("event", "wanted"), HOGSEND)
def test_hogsend(event: Any, wanted: Statement | None) -> None:
    assert equal(said(hogsend_data.parse_event, {"name": "n"} | event), wanted)


def test_a_dialect_whose_events_may_say_something_is_marked_so() -> None:
    """An event of another would wait for the next one that was not, or for a restart."""
    speaking = {"segment", "posthog", "amplitude", "mixpanel", "solute", "hogsend"}
    assert {dialect.name for dialect in table.DIALECTS if dialect.about_people} == speaking


@pytest.mark.parametrize("kind", ["track", "page"])
def test_most_events_say_nothing_and_are_not_looked_into(kind: Any) -> None:
    event = Event("p", "live", "segment", "n", 0, kind, user_id="u", anonymous_id="a", properties="no JSON")
    assert not may_say(event.type, bool(event.traits))
    assert statement_of(event) is None
