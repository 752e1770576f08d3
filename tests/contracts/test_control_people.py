"""What control promises of people, on SQLite and on PostgreSQL 18."""

from typing import Any

import pytest
from sqlalchemy import Engine

from headrace.control.database import transact
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.reaction_states import ControlReactionStates
from headrace.control.rulebook import Rulebook
from headrace.model.errors import NotFound
from headrace.model.event import Tenant
from headrace.model.person import Group, GroupKey, Op, Person, Statement
from headrace.model.reaction_state import Needs
from headrace.people import applying
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.rulesets import RuleTimelines
from headrace.ports.people import People, PeopleStates
from headrace.ports.reactions import StateChanged

TENANT, TEST = Tenant("p", "live"), Tenant("p", "test")
ACME = GroupKey("company", "acme/1")
ODD = "é/%\x00\x01'\u2028😀"


def say(engine: Engine, *statements: Statement, tenant: Tenant = TENANT, first: int = 1) -> None:
    """Applied and kept together, as one turn of the reactor does."""
    states: PeopleStates = ControlPeopleStates(engine)
    state = states.load(tenant, applying.needs(statements))
    for position, statement in enumerate(statements, first):
        applying.apply(state, statement, position, position)
    transact(engine, lambda connection: states.save(connection, tenant, state))


def user(id_: str, /, *anonymous: str, **values: Any) -> Statement:
    ops = [Op("set", trait, value) for trait, value in values.items()]
    return Statement(id_, anonymous, "identify" if anonymous else None, ops=ops)


def admin(engine: Engine) -> PeopleAdmin:
    states = ControlReactionStates(engine)
    reactions = Reactions(states, RuleTimelines(Rulebook(engine)))
    return PeopleAdmin(ControlPeople(engine), ControlPeopleStates(engine), states, reactions)


def test_a_person_is_found_by_any_id_with_all_that_is_known(engine: Engine) -> None:
    people: People = ControlPeople(engine)
    say(engine, user(ODD, "a", plan="pro", deep={"x": [1, None, 2**70]}))
    say(engine, Statement(ODD, (), group=ACME, groups=(ACME,)), first=5)
    person = Person(ODD, [ODD, "a"], {"plan": "pro", "deep": {"x": [1, None, 2**70]}}, [ACME])
    assert people.person_of(TENANT, ODD) == people.person_of(TENANT, "a") == person
    assert people.ids_of(TENANT, "a") == [ODD, "a"]
    assert people.person_of(TENANT, "nobody") is None
    assert people.ids_of(TENANT, "nobody") == []


def test_people_of_another_mode_are_other_people(engine: Engine) -> None:
    people = ControlPeople(engine)
    say(engine, user("u", "a", plan="pro"), Statement("u", groups=(ACME,)))
    say(engine, user("u", plan="free"), tenant=TEST)
    assert people.person_of(TEST, "u") == Person("u", ["u"], {"plan": "free"}, [])
    assert people.person_of(TEST, "a") is None
    assert people.group(TEST, ACME) is None
    assert [person.id for _, person in people.listed(TEST, "", None, 9)] == ["u"]
    with pytest.raises(NotFound):
        admin(engine).part(TEST, "u", "a")


def test_people_are_listed_newest_first_page_by_page_and_each_once(engine: Engine) -> None:
    people = ControlPeople(engine)
    say(engine, *(user(f"u{number}", f"a{number}") for number in range(7)))
    say(engine, Statement("u6", (), "alias", "u0"), first=20)
    found: list[str] = []
    before = None
    while page := people.listed(TENANT, "", before, 2):
        found += [person.id for _, person in page]
        before = page[-1][0]
        say(engine, user(f"later{len(found)}"), first=30 + len(found))
    assert found == ["u6", "u5", "u4", "u3", "u2", "u1"]


@pytest.mark.parametrize(
    ("search", "wanted"),
    [
        ("ada", ["ada-1", "u2"]),
        ("ADA@", ["u2"]),
        ("lovel", ["u2"]),
        ("anon-", ["u2"]),
        ("x", []),
        ("%", []),
        ("u", ["u2", "u1"]),
        ("grace", []),
    ],
)
def test_people_are_found_by_the_beginning_of_an_id_an_email_or_a_name(
    engine: Engine, search: str, wanted: list[str]
) -> None:
    say(engine, user("u1", email="grace@x.se"), user("u2", "anon-7", email="Ada@x.se", name="Lovelace"), user("ada-1"))
    say(engine, user("u1", email="hopper@x.se"), first=9)
    assert [person.id for _, person in ControlPeople(engine).listed(TENANT, search, None, 9)] == wanted


@pytest.mark.parametrize("search", ["u", "u1", "A", "a1", "anon", "x@", "X@1", "nobody", "%", "U"])
def test_a_search_that_many_match_finds_what_one_by_one_finds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, search: str
) -> None:
    """Whether matches are few, among the newest people, or among old ones."""
    say(
        engine,
        *(user(f"u{n}", f"anon{n}", email=f"{'x' if n % 3 else 'a'}@{n}") for n in range(20)),
        user("u3", name="A1"),
    )
    say(engine, Statement("u4", (), "alias", "u19"), Statement("u18", (), "alias", "u2"), first=60)
    people = ControlPeople(engine)
    everyone = people.listed(TENANT, "", None, 100)
    emails = {
        f"u{n}": f"{'x' if n % 3 else 'a'}@{n}" for n in range(20)
    }  # those of all ids, also of ids that were joined

    def matches(person: Person) -> bool:
        terms = [emails[each] for each in person.ids if each in emails] + ["a1"] * ("u3" in person.ids)
        return any(each.startswith(search) for each in person.ids) or any(
            each.startswith(search.casefold()) for each in terms
        )

    wanted = [each for each in everyone if matches(each[1])]
    for few, looked_at in ((1000, 1000), (2, 4), (2, 1), (0, 7)):
        monkeypatch.setattr("headrace.control.people_search.FEW", few)
        monkeypatch.setattr("headrace.control.people_search.LOOKED_AT", looked_at)
        assert people.listed(TENANT, search, None, 100) == wanted
        pages: list[tuple[int, Person]] = []
        while page := people.listed(TENANT, search, pages[-1][0] if pages else None, 3):
            pages += page
        assert pages == wanted


def test_a_group_has_traits_and_counts_people_and_not_ids(engine: Engine) -> None:
    people = ControlPeople(engine)
    say(
        engine,
        Statement("", group=ACME, group_ops=[Op("set", "size", 3)]),
        Statement("u", groups=(ACME,)),
        Statement("", ("a",), groups=(ACME,)),
        Statement("v", groups=(ACME, GroupKey("company", "apex"))),
    )
    assert people.group(TENANT, ACME) == Group("company", "acme/1", {"size": 3}, 3)
    say(engine, user("u", "a"), first=9)
    assert people.group(TENANT, ACME) == Group("company", "acme/1", {"size": 3}, 2)
    assert people.group(TENANT, GroupKey("team", "acme/1")) is None


def test_parting_gives_both_persons_back_and_stays(engine: Engine) -> None:
    say(engine, user("old", "a", plan="free"), user("new", "b"))
    say(engine, Statement("new", (), "alias", "old"), first=5)
    one, other = admin(engine).part(TENANT, "b", "a")
    assert one == Person("new", ["new", "b"], {}, [])
    assert other == Person("old", ["old", "a"], {"plan": "free"}, [])
    admin(engine).part(TENANT, "old", "a")
    say(engine, user("old", "a"), first=9)
    assert ControlPeople(engine).ids_of(TENANT, "a") == ["a"]
    say(engine, Statement("old", (), "alias", "a"), first=10)
    assert ControlPeople(engine).ids_of(TENANT, "a") == ["old", "a"]


def test_parting_who_is_not_joined_is_an_error(engine: Engine) -> None:
    say(engine, user("u"), user("v"))
    for other in ("v", "u", "nobody"):
        with pytest.raises(NotFound, match="not an alias"):
            admin(engine).part(TENANT, "u", other)


def test_what_is_decided_on_an_older_state_is_not_kept(engine: Engine, other: Engine) -> None:
    """A reactor that loaded people, and somebody who parts two of them meanwhile."""
    say(engine, user("u", "a"))
    states, reaction_states = ControlPeopleStates(engine), ControlReactionStates(engine)
    reaction_state = reaction_states.load(TENANT, Needs([], [], {}))
    statement = Statement("u", (), "alias", "a")
    state = states.load(TENANT, applying.needs([statement]))
    admin(other).part(TENANT, "u", "a")
    applying.apply(state, user("u", "b"), 9, 9)
    with pytest.raises(StateChanged):
        reaction_states.save(TENANT, reaction_state, 9, lambda tx: states.save(tx, TENANT, state))
    assert ControlPeople(other).ids_of(TENANT, "u") == ["u"]
