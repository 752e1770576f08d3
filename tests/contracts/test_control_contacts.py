"""What control promises of people and groups as contacts, on SQLite and on PostgreSQL 18."""

from sqlalchemy import Engine

from headrace.control.contacts import DELETED, ControlContacts
from headrace.control.people import ControlPeople
from headrace.model.person import GroupKey, Op, Statement
from headrace.ports.people import ContactGroups, Contacts
from tests.contracts.test_control_people import ACME, TENANT, TEST, say, user

APEX, TEAM = GroupKey("company", "apex"), GroupKey("team", "acme/1")


def test_a_contact_is_found_by_any_id_by_its_email_and_by_the_number_of_any_id(engine: Engine) -> None:
    contacts: Contacts = ControlContacts(engine)
    say(engine, user("u", "anon", email="Ada@x.se"), user("v", email="ada@x.se"), user("w", email="bob@x.se"))
    say(engine, user("u", email="Ada@x.se"), tenant=TEST)
    [u] = contacts.find(TENANT, ["anon"], "")
    assert (u.person.id, u.user_id, u.known, sorted(u.person.ids)) == ("u", "u", ["u"], ["anon", "u"])
    assert contacts.find(TENANT, ["u", "anon"], "") == [u]
    [same] = contacts.find(TENANT, [], "Ada@x.se")
    assert same == u, "an email is found as it was written"
    assert [each.person.id for each in contacts.find(TENANT, ["w"], "Ada@x.se")] == ["u", "w"]
    assert contacts.find(TENANT, ["nobody"], "nobody@x.se") == []
    assert contacts.numbered(TENANT, u.no) == contacts.numbered(TENANT, u.person_no) == u
    assert contacts.numbered(TEST, u.no) is None, "numbers are of one tenant"
    assert contacts.numbered(TENANT, 1 << 40) is None


def test_a_deleted_contact_is_found_nowhere_and_is_still_a_person(engine: Engine) -> None:
    contacts, groups = ControlContacts(engine), ControlContacts(engine)
    say(engine, user("u", email="ada@x.se"), Statement("u", groups=(ACME,)))
    [u] = contacts.find(TENANT, ["u"], "")
    say(engine, Statement("u", ops=[Op("set", DELETED, True)]), first=5)
    assert contacts.find(TENANT, ["u"], "ada@x.se") == []
    assert contacts.numbered(TENANT, u.no) is None
    assert groups.members(TENANT, ACME, 9, 0) == []
    assert ControlPeople(engine).person_of(TENANT, "u") is not None


def test_groups_are_listed_by_their_latest_mention_page_by_page(engine: Engine) -> None:
    groups: ContactGroups = ControlContacts(engine)
    say(engine, Statement("u", groups=(ACME,)), Statement("u", groups=(APEX,)), Statement("u", groups=(TEAM,)))
    say(engine, Statement("", group=ACME, group_ops=[Op("set", "size", 3)]), first=9)
    say(engine, Statement("u", groups=(GroupKey("company", "tested"),)), tenant=TEST)
    listed = groups.groups(TENANT, "", 9, 0)
    assert [each.key for each in listed] == [ACME, TEAM, APEX]
    assert (listed[0].traits, listed[0].first_ms, listed[0].last_ms) == ({"size": 3}, 1, 9)
    assert [groups.groups(TENANT, "", 1, offset) for offset in range(4)] == [*([each] for each in listed), []]
    assert [each.key for each in groups.groups(TENANT, "company", 9, 0)] == [ACME, APEX]
    assert groups.group(TENANT, APEX) == listed[2]
    assert groups.group(TENANT, GroupKey("team", "apex")) is None
    assert groups.group(TEST, ACME) is None


def test_members_are_people_and_not_ids_the_latest_to_join_first(engine: Engine) -> None:
    groups = ControlContacts(engine)
    say(engine, Statement("u", groups=(ACME,)), Statement("", ("a",), groups=(ACME,)), Statement("v", groups=(ACME,)))
    say(engine, user("u", "a"), Statement("w", groups=(APEX,)), first=7)
    members = groups.members(TENANT, ACME, 9, 0)
    assert [(each.contact.person.id, each.joined_ms) for each in members] == [("v", 3), ("u", 1)]
    assert [groups.members(TENANT, ACME, 1, offset) for offset in range(3)] == [*([each] for each in members), []]
    [v, u] = [each.contact for each in members]
    assert (groups.joined_ms(TENANT, ACME, u), groups.joined_ms(TENANT, ACME, v)) == (1, 3)
    assert groups.joined_ms(TENANT, APEX, u) == 0
    assert groups.members(TEST, ACME, 9, 0) == []
