"""Participants of rules under merges and their undoing, against a small model.

Whatever happens in between, each person has what one participant would have who had sent the events of the person's ids.
"""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import msgspec
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from headrace.control.ledger import ControlLedger
from headrace.control.people import ControlPeople
from headrace.control.people_states import ControlPeopleStates
from headrace.control.scoreboard import Scoreboard
from headrace.model.errors import NotFound
from headrace.model.event import StoredEvent, Tenant
from headrace.pipeline.people import PeopleAdmin
from headrace.pipeline.rulesets import load_rules
from tests import in_memory
from tests.people.test_model import Model
from tests.reactions.given import TENANT, Crash, Machine, event, record_of
from tests.reactions.test_model import DAY_0, _completions, _day, document, documents  # pyright: ignore[reportPrivateUsage]

IDS = ("u", "v", "a", "b", "c")
_ids = st.sampled_from(IDS)
_modes = st.sampled_from(("live", "live", "live", "test"))
_LATEST = 1 << 60
Outcome = dict[str, Any]


class Tenancy:
    """What ought to be in one mode."""

    def __init__(self) -> None:
        self.people = Model()
        self.events: list[StoredEvent] = []

    def persons(self) -> Iterator[tuple[str, set[str]]]:
        """(the id that somebody goes by, all ids) of everybody who has sent something."""
        people = self.people
        for each in dict.fromkeys(one.user_id for one in self.events):
            people.meet(each)
        for name in dict.fromkeys(people.goes_by(one.user_id) for one in self.events):
            yield name, people.together(name)

    def due(self, rules: dict[str, Any], ids: set[str]) -> Outcome:
        own = [one for one in self.events if one.user_id in ids]
        purchases = [one for one in own if one.name == "order.placed"]
        visits = [one for one in own if one.name == "visit"]
        lasting = [one for one in purchases if _day(one) in (DAY_0 + 1, DAY_0 + 2)]
        counted = {"streak": visits, "fixed": lasting}
        challenges = rules["challenges"]
        completions = {each["id"]: _completions(each, counted.get(each["id"], purchases)) for each in challenges}
        badges = {f"b-{id_}" for id_, times in completions.items() if times}
        if len(purchases) >= rules["badges"][-2]["count"]:
            badges.add("b-facts")
        if badges.issuperset(rules["badges"][-1]["badges"]):
            badges.add("b-both")
        worth = {each["id"]: each.get("points", 0) for each in (*challenges, *rules["badges"])}
        points = len(purchases) * rules["facts"][0]["points"]
        points += sum(worth[id_] * times for id_, times in completions.items()) + sum(worth[each] for each in badges)
        return {"completions": completions, "badges": badges, "points": points}


class ParticipantsMachine(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = in_memory.folder()

    @initialize(goal=st.sampled_from((2, 3)), repeat=st.booleans())
    def begin(self, goal: int, repeat: bool) -> None:
        self.machine = Machine(Path(self.folder.name), self.template)
        self.document = document(0, goal, bool(repeat), 5, "", 127, 1)
        for badge in self.document["badges"]:
            badge["points"] = 1 + badge.get("points", 0)
        self.machine.apply(self.document)
        self.tenancies = {"live": Tenancy(), "test": Tenancy()}
        self.waiting: list[tuple[StoredEvent, tuple[str, ...]]] = []

    def teardown(self) -> None:
        self.machine.close()
        self.folder.cleanup()

    @rule(
        mode=_modes,
        user=_ids,
        name=st.sampled_from(("order.placed", "order.placed", "visit", "other")),
        day=st.sampled_from((0, 0.5, 1, 2, 3, 4, 8, 9)),
        amount=st.sampled_from((1, 2, 0.7)),
        item=st.sampled_from("xyz"),
        times=st.integers(1, 2),
    )
    def send(self, mode: str, user: str, name: str, day: float, amount: float, item: str, times: int) -> None:
        for _ in range(times):
            self._append(event(name, user, day, mode=mode, amount=amount, item=item), ("sent", user))

    @rule(mode=_modes, user=_ids, anonymous=_ids)
    def identify(self, mode: str, user: str, anonymous: str) -> None:
        self._append(_said(mode, "identify", user, anonymous_id=anonymous), ("identify", user, anonymous))

    @rule(mode=_modes, user=_ids, previous=_ids)
    def alias(self, mode: str, user: str, previous: str) -> None:
        self._append(_said(mode, "alias", user, previous_id=previous), ("alias", user, previous))

    def _append(self, happened: StoredEvent, meaning: tuple[str, ...]) -> None:
        self.machine.log.append([record_of(happened)])
        self.waiting.append((happened, meaning))

    @rule(dies=st.sampled_from(("", "", "before", "after")))
    def react(self, dies: str) -> None:
        self.machine.states.dies = dies
        with suppress(Crash):
            self.machine.drain()
        self.machine.states.dies = ""
        if dies:
            self.machine.restart()
            self.machine.drain()
        for happened, (what, user, *other) in self.waiting:
            tenancy = self.tenancies[happened.mode]
            people = tenancy.people
            people.meet(user, *other)
            if what == "sent":
                tenancy.events.append(happened)
            elif what == "identify":
                people.known.add(user)
                if other[0] != user:
                    people.identify(user, other[0])
            else:
                people.known.add(user)
                people.alias(user, other[0])
        self.waiting.clear()
        self._compare()

    @rule()
    def restart(self) -> None:
        self.machine.restart()

    @rule(mode=_modes, one=_ids, other=_ids)
    def undo(self, mode: str, one: str, other: str) -> None:
        self.react("")
        engine, machine = self.machine.engine, self.machine
        admin = PeopleAdmin(
            ControlPeople(engine), ControlPeopleStates(engine), machine.states, machine.reactions, lambda: 1
        )
        try:
            admin.part(_tenant(mode), one, other)
        except NotFound:
            assert not self.tenancies[mode].people.undo(one, other)
        else:
            assert self.tenancies[mode].people.undo(one, other)
        self._compare()

    @rule(data=st.data(), force=st.booleans())
    def replay(self, data: st.DataObject, force: bool) -> None:
        """What was counted and paid once is not counted or paid again, whoever the events are now."""
        self.react("")
        past = list(self.tenancies["live"].events)
        if past:
            self.machine.replay(*data.draw(st.lists(st.sampled_from(past), unique_by=id)), force=force)
            self._compare()

    def _compare(self) -> None:
        for mode, tenancy in self.tenancies.items():
            self._compare_tenancy(_tenant(mode), tenancy)
        assert [*itertools.chain.from_iterable(self.machine.rebuild.foresee(TENANT, lambda _names: {}))] == []

    def _compare_tenancy(self, tenant: Tenant, tenancy: Tenancy) -> None:
        rules = load_rules(self.machine.rulebook, TENANT.project)
        board, ledger = Scoreboard(self.machine.engine), ControlLedger(self.machine.engine)
        due = {name: tenancy.due(self.document, ids) for name, ids in tenancy.persons()}
        with_points = {name: each["points"] for name, each in due.items() if each["points"]}
        for span in ((None, None), (0, _LATEST)):
            found = ledger.leaderboard(tenant, *span, 100, 0)
            assert found is not None
            assert {row.participant: row.scores["points"] for row in found.rows} == with_points
        for challenge in rules.challenges:
            ranked = board.leaderboard(tenant, challenge.no, 100, 0)
            assert ranked is not None
            assert {row.participant: row.scores["completions"] for row in ranked.rows if row.scores["completions"]} == {
                name: times for name, each in due.items() if (times := each["completions"][challenge.rule.id])
            }
        for badge in rules.badges:
            held = [award.participant for award in board.holders(tenant, badge.rule.id, 100, 0)]
            assert sorted(held) == sorted(name for name, each in due.items() if badge.rule.id in each["badges"])
            assert board.holder_counts(tenant).get(badge.rule.id, 0) == len(held)
        listed = ledger.participants(tenant, "", 100)
        assert {each.name: (each.points, each.badges) for each in listed.found if each.points or each.badges} == {
            name: (each["points"], len(each["badges"])) for name, each in due.items() if each["points"]
        }
        for name, ids in tenancy.persons():
            for each in ids:
                self._compare_participant(tenant, each, name, due[name], board, ledger)

    def _compare_participant(
        self, tenant: Tenant, asked: str, name: str, due: Outcome, board: Scoreboard, ledger: ControlLedger
    ) -> None:
        rules = load_rules(self.machine.rulebook, TENANT.project)
        score = board.participant(tenant, asked, [])
        if score is None:  # none of its events is anything to the rules
            assert not due["points"]
            return
        completions = {each.rule.id: score.state.standing(each.no, name).completions for each in rules.challenges}
        assert completions == due["completions"]
        assert {award.badge for award in score.awards} == due["badges"]
        assert len(score.awards) == len(due["badges"])
        assert score.balance == due["points"]
        page = ledger.entries(tenant, asked, "", 1000)
        assert (page.points, sum(entry.points for _, entry in page.entries)) == (due["points"], due["points"])
        assert {whose for whose, _ in page.entries} <= {name}


class ChangingMachine(ParticipantsMachine):
    """The same while rules change. What each version has paid depends on history then; what has to hold of it does not."""

    @rule(rules=documents)
    def change_rules(self, rules: dict[str, Any]) -> None:
        self.react("")
        self.machine.apply(rules)
        self._compare()

    def _compare(self) -> None:
        machine = self.machine
        ids = dict(machine.rows("select no, coalesce(whole_no, no) from participants"))
        assert all(ids[whole] == whole for whole in ids.values()), "nobody goes by an id that goes by another one"
        sums: dict[int, int] = {}
        for number, points in machine.rows("select participant_no, points from points"):
            sums[ids[number]] = sums.get(ids[number], 0) + points
        balances = dict(machine.rows("select participant_no, balance from balances"))
        assert {number: balance for number, balance in balances.items() if balance} == {
            number: points for number, points in sums.items() if points
        }
        shares: dict[tuple[int, int], int] = {}
        for number, rule_no, net in machine.rows("select participant_no, rule_no, completions + corrected from shares"):
            shares[ids[number], rule_no] = shares.get((ids[number], rule_no), 0) + net
        joint = {whole for number, whole in ids.items() if number != whole}
        for number, rule_no, completions in machine.rows("select participant_no, rule_no, completions from standings"):
            assert ids[number] == number, "standings are those of persons"
            if number in joint:
                assert shares.get((number, rule_no), 0) == completions
        held = [
            (ids[number], badge)
            for number, badge in machine.rows("select participant_no, badge from awards where stands")
        ]
        every = {(ids[number], badge) for number, badge in machine.rows("select participant_no, badge from awards")}
        assert len(held) == len(set(held)) == len(every), "one award of each badge stands"
        for mode, tenancy in self.tenancies.items():
            names = dict(machine.rows(f"select name, coalesce(whole_no, no) from participants where mode = '{mode}'"))
            for name, members in tenancy.persons():
                assert {names[each] for each in members if each in names} <= {names.get(name)}


def _tenant(mode: str) -> Tenant:
    return Tenant(TENANT.project, cast("Any", mode))


def _said(mode: str, kind: str, user: str, **fields: Any) -> StoredEvent:
    said = event("said", user, mode=mode)
    return msgspec.structs.replace(said, source="segment", type=kind, **fields)


def test_participants_are_what_a_small_model_says_whatever_happens(template: Path) -> None:
    ParticipantsMachine.template = template
    run_state_machine_as_test(
        ParticipantsMachine,
        settings=settings(max_examples=10, stateful_step_count=25, deadline=None, phases=(Phase.generate,)),
    )


def test_whatever_rules_come_and_go_nothing_is_held_or_paid_twice(template: Path) -> None:
    ChangingMachine.template = template
    run_state_machine_as_test(
        ChangingMachine,
        settings=settings(max_examples=10, stateful_step_count=25, deadline=None, phases=(Phase.generate,)),
    )
