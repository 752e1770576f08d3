"""Who is one person, and what is known of them: statements in, people out."""

from typing import Any

import pytest

from headrace.model.people_state import PeopleState
from headrace.model.person import MAX_IDS, MAX_TRAITS, Cell, GroupKey, Op, Statement
from headrace.people import applying, identity, traits

ACME = GroupKey("company", "acme")


class World:
    """Statements applied one after the other; everything is loaded at all times."""

    def __init__(self) -> None:
        self.state = PeopleState()
        self.position = 0

    def say(self, statement: Statement, at_ms: int = 0) -> None:
        self.position += 1
        clear = applying.cleared(statement, applying.placeholders_of("null, 0,undefined"))
        if clear is not None:
            applying.apply(self.state, clear, at_ms or self.position, self.position)

    def identify(self, user: str, *anonymous: str, at_ms: int = 0, **values: Any) -> None:
        ops = [Op("set", name, value) for name, value in values.items()]
        self.say(Statement(user, anonymous, "identify" if anonymous else None, ops=ops), at_ms)

    def alias(self, user: str, previous: str) -> None:
        self.say(Statement(user, (), "alias", previous))

    def persons(self) -> dict[str, set[str]]:
        """By the id that each goes by: all ids."""
        found: dict[str, set[str]] = {}
        for held in self.state.ids.values():
            found.setdefault(held.person, set()).add(held.id)
        return found

    def traits(self, person: str) -> dict[str, Any]:
        return traits.shown(traits.merged(held.cells or {} for held in self.state.of_person(person)))


@pytest.fixture
def world() -> World:
    return World()


def test_identify_joins_the_anonymous_visitor_to_the_user(world: World) -> None:
    world.identify("u", "a")
    world.identify("u", "b")
    assert world.persons() == {"u": {"u", "a", "b"}}


def test_identify_never_joins_two_known_users_on_a_shared_device(world: World) -> None:
    world.identify("u", "device")
    world.identify("v", "device")
    world.identify("v", "u")
    assert world.persons() == {"u": {"u", "device"}, "v": {"v"}}


def test_identify_brings_all_that_an_anonymous_visitor_was_joined_to_before(world: World) -> None:
    world.say(Statement("", ("b",), "alias", "a"))
    world.identify("u", "a")
    assert world.persons() == {"u": {"u", "a", "b"}}


def test_alias_joins_two_known_users_and_goes_by_the_newer_name(world: World) -> None:
    world.identify("old", "a")
    world.identify("new", "b")
    world.alias("new", "old")
    assert world.persons() == {"new": {"new", "b", "old", "a"}}


def test_undoing_an_alias_gives_both_their_own_ids_back(world: World) -> None:
    world.identify("old", "a")
    world.identify("new", "b")
    world.alias("new", "old")
    assert applying.part(world.state, "new", "old")
    assert world.persons() == {"old": {"old", "a"}, "new": {"new", "b"}}


def test_what_is_undone_between_two_ids_with_others_between_is_the_alias(world: World) -> None:
    world.identify("v", "p")
    world.alias("u", "p")
    world.identify("u", "later")
    assert applying.part(world.state, "v", "later")
    assert world.persons() == {"u": {"u", "later"}, "v": {"v", "p"}}


def test_ids_that_are_not_one_person_cannot_be_parted(world: World) -> None:
    world.identify("u", "a")
    world.identify("v", "b")
    assert not applying.part(world.state, "u", "v")
    assert not applying.part(world.state, "u", "u")


def test_what_was_undone_is_not_joined_again_by_identify_but_is_by_alias(world: World) -> None:
    world.identify("u", "a")
    applying.part(world.state, "u", "a")
    world.state.parted.add(("u", "a"))  # as it is when it is loaded again
    world.identify("u", "a")
    assert world.persons() == {"u": {"u"}, "a": {"a"}}
    world.alias("u", "a")
    assert world.persons() == {"u": {"u", "a"}}


@pytest.mark.parametrize("nobody", ["null", "NULL", " Undefined ", "0"])
def test_a_placeholder_joins_nothing_and_is_nobody(world: World, nobody: str) -> None:
    world.identify("u", nobody, plan="pro")
    world.identify(nobody, "a", plan="free")
    world.alias("u", nobody)
    world.alias(nobody, "b")
    world.say(Statement(nobody, (), ops=[Op("set", "x", 1)], groups=(ACME,)))
    assert world.persons() == {"u": {"u"}}
    assert world.traits("u") == {"plan": "pro"}
    assert not world.state.new_members


def test_a_person_has_a_bounded_number_of_ids(world: World) -> None:
    for number in range(MAX_IDS + 2):
        world.identify("u", f"a{number}")
    assert len(world.persons()["u"]) == MAX_IDS
    assert world.state.refused == 3


def test_traits_keep_the_newest_value_by_the_events_time(world: World) -> None:
    world.identify("u", at_ms=50, plan="pro", size=1)
    world.identify("u", at_ms=40, plan="free", town="Lund")
    world.identify("u", at_ms=50, size=2)
    assert world.traits("u") == {"plan": "pro", "size": 2, "town": "Lund"}


def test_a_persons_traits_are_the_newest_of_all_ids_and_go_back_when_they_part(world: World) -> None:
    world.identify("", "a", at_ms=10, plan="free", seen=1)
    world.identify("u", at_ms=5, plan="trial")
    world.identify("u", "a", at_ms=6)
    assert world.traits("u") == {"plan": "free", "seen": 1}
    applying.part(world.state, "u", "a")
    assert (world.traits("u"), world.traits("a")) == ({"plan": "trial"}, {"plan": "free", "seen": 1})


def ops(*given: Op, times: tuple[int, ...] = ()) -> dict[str, Any]:
    cells: dict[str, Cell] = {}
    for position, op in enumerate(given, 1):
        cells, _ = traits.changed(cells, [op], times[position - 1] if times else position, position)
    return traits.shown(cells)


def test_set_once_stays_as_it_was_first_set_until_a_plain_set() -> None:
    once = [Op("once", "ref", "a"), Op("once", "ref", "b")]
    assert ops(*once) == {"ref": "a"}
    assert ops(*once, times=(9, 1)) == {"ref": "a"}
    assert ops(*once, Op("set", "ref", "c"), Op("once", "ref", "d")) == {"ref": "c"}
    assert ops(Op("set", "ref", "c"), *once) == {"ref": "c"}


def test_unset_takes_a_trait_away_and_an_older_set_that_comes_late_does_not_bring_it_back() -> None:
    assert ops(Op("set", "x", 1), Op("unset", "x"), Op("set", "x", 2), times=(1, 5, 3)) == {}
    assert ops(Op("set", "x", 1), Op("unset", "x"), Op("set", "x", 2), times=(1, 5, 6)) == {"x": 2}
    assert ops(Op("set", "x", 1), Op("set", "y", 1), Op("clear"), Op("once", "x", 3)) == {"x": 3}


def test_adding_and_appending_change_what_is_held() -> None:
    assert ops(Op("add", "n", 2), Op("add", "n", 0.5), Op("add", "n", "x")) == {"n": 2.5}
    assert ops(Op("set", "n", "text"), Op("add", "n", 1)) == {"n": 1}
    assert ops(Op("append", "l", 1), Op("append", "l", [1, 2]), Op("union", "l", [2, 3, 3])) == {"l": [1, 1, 2, 3]}
    assert ops(Op("set", "l", "a"), Op("append", "l", "b"), Op("remove", "l", "a")) == {"l": ["b"]}
    assert ops(Op("set", "n", 1e308), Op("add", "n", 1e308)) == {"n": 1e308}


def test_traits_are_bounded_in_number_and_size() -> None:
    many = [Op("set", f"t{number}", number) for number in range(MAX_TRAITS + 3)]
    cells, dropped = traits.changed({}, many, 1, 1)
    assert (len(cells), dropped) == (MAX_TRAITS, 3)
    assert traits.changed(cells, [Op("set", "t0", "x" * 300_000)], 2, 2) == (cells, 1)


def test_groups_are_joined_and_have_traits_of_their_own(world: World) -> None:
    world.say(Statement("u", (), group=ACME, group_ops=[Op("set", "size", 5)], groups=(ACME,)), 10)
    world.say(Statement("", (), group=ACME, group_ops=[Op("set", "size", 4), Op("set", "town", "Lund")]), 5)
    assert traits.shown(world.state.groups[ACME]) == {"size": 5, "town": "Lund"}
    assert world.state.new_members == {("u", ACME): 10}


def test_who_a_person_goes_by_follows_from_the_joins_that_are_left() -> None:
    world = World()
    world.alias("b", "a")
    world.alias("c", "b")
    world.alias("c", "d")
    joins = world.state.joins
    assert set(identity.persons_of("abcd", joins).values()) == {"c"}
    assert identity.persons_of("abcd", [join for join in joins if join.other != "b"]) == {
        "a": "b",
        "b": "b",
        "c": "c",
        "d": "c",
    }


def test_who_leaves_a_group_leaves_it_with_all_ids_and_may_come_back(world: World) -> None:
    world.say(Statement("", ("a",), groups=(ACME,)), 3)
    world.identify("u", "a")
    world.say(Statement("u", (), left=(ACME,)))
    assert (world.state.new_members, world.state.left_members) == ({}, {("u", ACME), ("a", ACME)})
    world.say(Statement("u", (), groups=(ACME,)), 9)
    world.say(Statement("u", (), groups=(ACME,)), 12)
    assert world.state.new_members == {("u", ACME): 9}, "who is in it joined when it was first said"
    assert world.state.left_members == {("a", ACME)}


def test_a_group_knows_when_it_was_first_and_last_mentioned_and_changes_only_if_that_does(world: World) -> None:
    for at_ms in (10, 5, 20):
        world.say(Statement("u", (), groups=(ACME,)), at_ms)
    assert world.state.group_times == {ACME: (5, 20)}
    world.state.changed_groups.clear()
    world.say(Statement("u", (), groups=(ACME,)), 15)
    assert not world.state.changed_groups
    world.say(Statement("", (), group=ACME, group_ops=[Op("set", "size", 5)]), 15)
    assert world.state.changed_groups == {ACME}


def test_of_values_set_once_the_first_counts_among_all_ids_and_a_plain_set_before_them() -> None:
    first, second = Cell("first", 9, 1, "once"), Cell("second", 1, 2, "once")
    plain = Cell("plain", 0, 3)
    for given, wanted in (
        ((first, second), "first"),
        ((first, plain), "plain"),
        ((plain, Cell("old", -1, 4)), "plain"),
    ):
        for order in (given, given[::-1]):
            assert traits.shown(traits.merged({"ref": each} for each in order)) == {"ref": wanted}


def test_of_values_set_at_one_moment_the_later_in_the_log_counts() -> None:
    cells = [Cell(number, 5, number) for number in (2, 1)]
    for order in (cells, cells[::-1]):
        assert traits.shown(traits.merged({"x": each} for each in order)) == {"x": 2}


def test_what_is_set_once_after_an_unset_counts_unless_it_is_older() -> None:
    unset = [Op("set", "x", 1), Op("unset", "x")]
    assert ops(*unset, Op("once", "x", 2), times=(1, 5, 4)) == {}
    assert ops(*unset, Op("once", "x", 2), times=(1, 5, 5)) == {"x": 2}


def test_a_list_has_a_bounded_number_of_elements() -> None:
    full = [Op("append", "l", [0] * 999), Op("append", "l", 1)]
    assert ops(*full) == {"l": [0] * 999 + [1]}
    for op in (Op("append", "l", 2), Op("union", "l", [2])):
        assert ops(*full, op) == ops(*full)
    assert ops(*full, Op("union", "l", [1])) == ops(*full), "it has it already"
    assert ops(*full, Op("remove", "l", [0])) == {"l": [1]}


def test_adding_does_not_make_a_value_older_or_take_a_truth_for_a_number() -> None:
    assert ops(Op("set", "n", 1), Op("add", "n", 2), Op("set", "n", 100), times=(10, 5, 8)) == {"n": 3}
    assert ops(Op("set", "n", 1), Op("add", "n", 2), Op("set", "n", 100), times=(10, 15, 12)) == {"n": 3}
    assert ops(Op("set", "n", 1), Op("add", "n", True)) == {"n": 1}
    assert ops(Op("set", "n", True), Op("add", "n", 1)) == {"n": 1}


def test_what_is_dropped_for_lack_of_room_is_counted_and_costs_the_rest_nothing(world: World) -> None:
    world.identify("u", **{f"t{number}": number for number in range(MAX_TRAITS + 3)})
    world.identify("u", t0="changed")
    assert (world.state.dropped, world.traits("u")["t0"], len(world.traits("u"))) == (3, "changed", MAX_TRAITS)
    world.say(Statement("", (), group=ACME, group_ops=[Op("set", "x", "y" * 300_000), Op("set", "z", 1)]))
    assert (world.state.dropped, world.state.groups[ACME]) == (5, {})


def test_an_id_that_is_said_twice_or_beside_itself_is_joined_once(world: World) -> None:
    world.identify("u", "u", "a", "a")
    assert world.persons() == {"u": {"u", "a"}}
    assert [join.other for join in world.state.joins] == ["a"]


def test_a_placeholder_beside_real_ids_leaves_them_theirs(world: World) -> None:
    world.identify("", "null", "a", plan="pro")
    assert (world.persons(), world.traits("a")) == ({"a": {"a"}}, {"plan": "pro"})
    world.say(Statement("0", (), group=ACME, group_ops=[Op("set", "size", 5)], groups=(ACME,)))
    assert traits.shown(world.state.groups[ACME]) == {"size": 5}, "the group is somebody, whoever said it"
    assert not world.state.new_members
