"""Rules documents: what is wrong is said with its place, and what a change means is said beforehand."""

from typing import Any

import pytest

from headrace.model.errors import InvalidRules
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.conditions import MAX_CHARS, Condition, Malformed
from headrace.reactions.meaning import content_version, former_version_of, version_of
from headrace.reactions.source import MAX_BYTES
from tests.reactions.given import Machine, event

GOOD = """
facts:
  - id: buy
    event: order.*
    when: event.properties.amount > 100.0
    fact_type: purchase
    fields: {amount: properties.amount}
challenges:
  - id: spender
    title: Big spender
    fact: purchase
    measure: {sum: amount}
    goal: 500
    points: 5
badges:
  - {id: gold, challenge: spender}
"""


def problems(text: str | bytes) -> list[tuple[str, int | None, str]]:
    with pytest.raises(InvalidRules) as raised:
        parse_document(text.encode() if isinstance(text, str) else text)
    return [(problem.path, problem.line, problem.detail) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("was", "becomes", "path", "line", "says"),
    [
        ("id: buy", "id: Buy", "facts[0].id", 3, "regex"),
        ("id: buy", "idd: buy", "facts[0]", 3, "unknown field `idd`"),
        ("order.*", "or*der", "facts[0].event", 4, "'*'"),
        ("> 100.0", ">> 100", "facts[0].when", 5, "at character 26"),
        ("event.properties.amount >", "amount >", "facts[0].when", 5, "'amount' is unknown"),
        ("fact_type: purchase", "fact_type: 7", "facts[0].fact_type", 6, "got `int`"),
        ("properties.amount}", "nothing.amount}", "facts[0].fields.amount", 7, "not a path"),
        ("fact: purchase", "fact: purchases", "challenges[0].fact", 11, "no fact rule"),
        ("sum: amount", "sum: price", "challenges[0].measure", 12, "does not pick the field 'price'"),
        ("{sum: amount}", "{sum: a, distinct: b}", "challenges[0].measure", 12, "either"),
        ("goal: 500", "goal: 0", "challenges[0].goal", 13, "0.000001"),
        ("goal: 500", "goal: .nan", "challenges[0].goal", 13, "0.000001"),
        ("goal: 500", "goal: 500\n    window: {days: 3, per: day}", "challenges[0].window", 14, "one of"),
        ("goal: 500", "goal: 500\n    time_zone: Mars/Base", "challenges[0].time_zone", 14, "not a time zone"),
        ("goal: 500", "goal: 5\n    window: {days: 3}\n    repeat: true", "challenges[0].repeat", 15, "cannot repeat"),
        ("challenge: spender", "challenge: spendr", "badges[0].challenge", 16, "no challenge 'spendr'"),
        ("challenge: spender", "badges: [gold]", "badges[0].badges", 16, "no earlier badge"),
        ("challenge: spender", "times: 2", "badges[0].id", 16, "one of"),
        ("challenges:", "challengs:", "challengs", 9, "unknown section"),
        ("goal: 500", "goal: 500\n    goal: 600", "challenges[0]", 9, "occurs twice"),
        ("goal: 500", "goal: !!python/object 5", "challenges[0].goal", 13, "tag"),
        ("goal: 500", "goal: 1" + "0" * 99, "challenges[0].goal", 13, "0.000001"),
        ("goal: 500", "goal: 0x" + "f" * 3000, "challenges[0].goal", 13, "too long for a number"),
        ("goal: 500", "goal: " + "1:" * 40_000 + "1", "challenges[0].goal", 13, "too long for a number"),
        ("goal: 500", "goal: 1.0e-7", "challenges[0].goal", 13, "0.000001"),
    ],
)
def test_a_problem_is_named_with_its_path_and_line(was: str, becomes: str, path: str, line: int, says: str) -> None:
    assert GOOD.count(was) >= 1
    [(found_path, found_line, detail)] = problems(GOOD.replace(was, becomes, 1))
    assert (found_path, found_line) == (path, line), detail
    assert says in detail


def test_every_rule_with_a_problem_is_named_at_once() -> None:
    found = problems(GOOD.replace("goal: 500", "goal: 0").replace("> 100.0", "> (").replace("order.*", "o"))
    assert [path for path, _, _ in found] == ["facts[0].when", "challenges[0].goal"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "empty"),
        (b"[]", "must be an object"),
        (b"facts: 3", "must be a list"),
        (b"\xff", "not UTF-8"),
        (b'{"facts": [}', "starts like JSON"),
        (b"facts: [", "not valid YAML"),
        (b"facts: &a [1]\nbadges: *a", "alias"),
        (b"- " * 50 + b"x", "nested deeper"),
        (b"[" * 100_000, "nested deeper"),
        (b"{" * 100_000, "starts like JSON"),
        (b"x" * (MAX_BYTES + 1), "the limit is"),
        (b"? [1]\n: 2", "is not a string"),
        (b"--- []\n--- []", "not valid YAML"),
        (b"facts:\n" + b"  - {id: a, event: e}\n" * 501, "more than 500"),
        (b"facts:\n" + b"  - {id: a, event: e}\n" * 2, "another rule"),
        (b"\x00", "not valid YAML"),
        (b'facts:\n  - {id: a, event: "\\ud800"}', "half of a surrogate pair"),
        (b'"\\udfff": 1', "half of a surrogate pair"),
        (b'{"facts": [{"id": "a", "event": "\\ud800"}]}', "starts like JSON"),
        (b'{"facts": [], "facts": [{"id": "a", "event": "e"}]}', "'facts' occurs twice"),
        (b'{"facts": [{"id": "a", "event": "e", "id": "b"}]}', "'id' occurs twice"),
        (b'{"challenges": [{"id": "a", "fact": "custom.e", "goal": 1' + b"0" * 400 + b"}]}", "0.000001"),
        (b"{" + b",".join(b'"%d":1' % number for number in range(12_000)) + b"}", "unknown section"),
    ],
    ids=range(23),
)
def test_what_is_no_document_is_said_to_be_none(text: bytes, says: str) -> None:
    assert says in problems(text)[0][2]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("facts:\n  - [\n", 3),
        ("facts: []\nbadges: {]\n", 2),
        ("facts:\n  - &a 1\n  - *a\n", 3),
        ("facts: []\nbadges: '\\ud800'\nchallenges: \"\\ud800\"\n", 3),
        ("facts: []\nfacts: []", 1),
        ('{"facts":\n[}', None),
    ],
)
def test_what_is_no_document_is_said_to_be_none_at_its_line(text: str, line: int | None) -> None:
    assert problems(text)[0][1] == line


@pytest.mark.parametrize(
    "condition",
    [
        "event.properties.list.exists(event, true)",
        "event.properties.list.all(x, x > 1)",
        "event.properties.list.map(event, 1) == []",
        "event.properties.list.filter(event, true) == []",
        '[1].map (event, event) == [] || event.name == "x"',
        r'r"\" == "x" || event.properties.list.exists(event, true) || ""',
        '"""a"b""" == "x" || event.properties.list.exists(event, true) || ""',
        "event.name.matches('(a+)+')",
        "event.name.nope()",
        "event",
        "event.nmae == ''",
        "user == 1",
        "event.name == 'x",
        "event.name == 'x' // and more",
        "event.name ==\n'x'",
        "true ||",
        "(" * 17 + "true" + ")" * 17,
        "event.name == 'x'" + " " * MAX_CHARS,
        " ",
    ],
)
def test_a_condition_that_loops_or_makes_no_sense_is_refused(condition: str) -> None:
    with pytest.raises(Malformed):
        Condition(condition)


def test_a_condition_without_a_truth_value_is_false_and_counted(machine: Machine) -> None:
    machine.apply(GOOD)
    events = [
        event("order.a"),
        event("order.a", amount="much"),
        event("order.a", amount=10**400),
        event("order.a", amount=101),
    ]
    machine.react(*events)
    assert [machine.effects(each) for each in events] == [[("fact", "default-fact")]] * 3 + [[("fact", "buy")]]
    found = machine.rulebook.current("p")
    assert found is not None
    [row] = [row for row in found[1] if row.kind == "fact"]
    assert (row.failures, row.failed_event) == (3, events[2].id)
    assert row.failed_why


def test_the_same_content_is_the_same_version_however_it_is_laid_out(machine: Machine) -> None:
    first = machine.apply(GOOD)
    again = machine.apply("# a comment\n" + GOOD.replace("event: order.*", "event: 'order.*'"))
    assert (first.applied, again.applied) == (True, False)
    assert first.version == again.version
    assert again.changes == []


def test_a_document_and_its_rules_keep_their_versions_from_release_to_release() -> None:
    """The versions are in control's tables: with others, progress would start anew and effects happen again after an upgrade."""
    document = parse_document(GOOD.encode())
    assert content_version(document) == "0dfb920a9173cb5f"
    assert {rule.id: version_of(kind, rule, document) for kind, rule in document.all()} == {
        "buy": "ccd968599c144e0c",
        "spender": "faa6a1aa7b3f88e1",
        "gold": "b6e3069b5fc1ffd7",
    }
    assert {rule.id: former_version_of(kind, rule, document) for kind, rule in document.all()} == {
        "buy": "ccd968599c144e0c",
        "spender": "331fc2402b1e7009",
        "gold": "a2463696f04eac23",
    }, "those of 0.1, under which progress is found until rules are applied again"


@pytest.mark.parametrize("applied_again", [False, True])
def test_what_was_made_under_former_versions_goes_on(machine: Machine, applied_again: bool) -> None:
    machine.apply(GOOD)
    document = parse_document(GOOD.encode())
    for kind, rule in document.all():
        former, now = former_version_of(kind, rule, document), version_of(kind, rule, document)
        with machine.engine.begin() as connection:
            connection.exec_driver_sql(f"update rules set version = '{former}' where version = '{now}'")
    machine.restart()
    before = machine.rows("select no, kind, rule_id from rules")
    machine.react(event("order.a", amount=500))
    if applied_again:
        assert machine.apply(GOOD + "# in other words\n").applied is False
        changed = GOOD.replace(
            "fields: {amount: properties.amount}", "fields: {amount: properties.amount, who: user_id}"
        )
        machine.apply(changed)
        assert [row for row in machine.rows("select no, kind, rule_id from rules") if row[1] != "fact"] == [
            row for row in before if row[1] != "fact"
        ], "a field that nobody measures is no other challenge"
    machine.react(event("order.a", amount=500))
    assert machine.rows("select best from standings") == [("1000",)]


@pytest.mark.parametrize(
    ("was", "becomes", "changes"),
    [
        ("Big spender", "Great spender", [("challenge", "spender", "reworded", False)]),
        ("points: 5", "points: 6", [("challenge", "spender", "reworded", False)]),
        ("goal: 500", "goal: 500.0", []),
        (
            "goal: 500",
            "goal: 400",
            [("challenge", "spender", "changed", True), ("badge", "gold", "changed", True)],
        ),
        (
            "> 100.0",
            "> 99.0",
            [
                ("fact", "buy", "changed", True),
                ("challenge", "spender", "changed", True),
                ("badge", "gold", "changed", True),
            ],
        ),
        (
            "badges:\n  - {id: gold",
            "badges:\n  - {id: silver, challenge: spender}\n  - {id: gold",
            [("badge", "silver", "added", False)],
        ),
        ("badges:\n  - {id: gold, challenge: spender}", "badges: []", [("badge", "gold", "removed", False)]),
    ],
)
def test_a_dry_run_says_what_starts_anew(machine: Machine, was: str, becomes: str, changes: Any) -> None:
    machine.apply(GOOD)
    applied = machine.apply(GOOD.replace(was, becomes), dry_run=True)
    assert [(each.kind, each.id, each.change, each.starts_anew) for each in applied.changes] == changes
    assert machine.apply(GOOD).applied is False, "a dry run changes nothing"


def test_progress_carries_over_a_change_of_wording_and_starts_anew_on_one_of_meaning(machine: Machine) -> None:
    machine.apply(GOOD)
    machine.react(event("order.a", amount=300))
    machine.apply(GOOD.replace("Big spender", "Great spender"))
    machine.react(event("order.a", amount=300))
    assert machine.completions("spender") == 1
    machine.apply(GOOD.replace("goal: 500", "goal: 550"))
    first, second = event("order.a", amount=300), event("order.a", amount=300)
    machine.react(first)
    assert machine.effects(first) == [("fact", "buy")]
    machine.react(second)
    assert machine.effects(second) == [("fact", "buy"), ("challenge", "spender"), ("points", "spender")]
    assert machine.badges() == {"gold"}, "held since before, and not given twice"


def test_rules_reach_only_their_own_project_and_each_mode_counts_for_itself(machine: Machine) -> None:
    machine.apply(GOOD)
    live, test = event("order.a", amount=400), event("order.a", amount=400, mode="test")
    machine.react(live, test)
    assert machine.rows("select mode from participants") == [("live",), ("test",)]
    assert machine.rows("select completions from standings") == [(0,), (0,)]
    machine.apply({})
    after = event("order.a", amount=400)
    machine.react(after)
    assert machine.effects(after) == [("fact", "default-fact")]


def test_a_project_has_rules_once_some_were_applied(machine: Machine) -> None:
    machine.react(event("order"))
    assert not machine.reactions.has_rules("p")
    machine.apply(GOOD)
    machine.react(event("order"))
    assert machine.reactions.has_rules("p")
    assert not machine.reactions.has_rules("another")


def test_a_document_names_the_rules_that_use_events_of_a_name() -> None:
    counting = (
        "  - {id: visits, fact: custom.visit.*, goal: 2}\nbadges:\n  - {id: guest, fact: custom.visit.shop, count: 1}\n"
    )
    document = parse_document(GOOD.replace("badges:\n", counting).encode())
    assert document.about("order.paid") == ["buy"]
    assert document.about("visit.shop") == ["visits", "guest"]
    assert document.about("visit.home") == ["visits"]
    assert document.about("visit") == document.about("purchase") == []
    assert document.used_by("order.paid") == ["rule:buy"]
