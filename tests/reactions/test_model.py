"""Random events, repeats, rule changes, crashes, replays, replay jobs and restarts, against a small model that counts sets of events."""

import math
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from headrace.control.replay_jobs import Action
from headrace.model.event import StoredEvent
from headrace.model.filters import Filters, Selection
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.meaning import version_of
from headrace.reactions.overruns import Limits
from tests import in_memory
from tests.reactions.given import TENANT, Crash, Machine, event, record_of

LARGE = 3000  # more items than the condition of the rule `heavy` may go through
PUT_ASIDE_AFTER = 3
DAY_0 = 20094  # 2025-01-06 in days since 1970


def document(
    threshold: int,
    goal: int,
    repeat: bool,
    points: int,
    title: str,
    parts: int,
    fact_points: int = 0,
    extra: bool = False,
) -> dict[str, Any]:
    """One of many rule sets; `parts` says, bit by bit, which rules are in it. `extra`: a field that no rule needs."""
    challenges = [
        {"id": "count", "fact": "purchase", "goal": goal, "repeat": repeat, "points": points, "title": title},
        {"id": "sum", "fact": "purchase", "measure": {"sum": "amount"}, "goal": goal * 2.5, "repeat": repeat},
        {"id": "weekly", "fact": "purch*", "goal": goal, "window": {"per": "week"}, "repeat": repeat},
        {"id": "items", "fact": "purchase", "measure": {"distinct": "item"}, "goal": goal},
        {"id": "streak", "fact": "custom.visit", "measure": "streak", "goal": goal, "repeat": repeat},
        {"id": "lately", "fact": "purchase", "goal": goal, "window": {"days": 2}},
        {"id": "fixed", "fact": "purchase", "goal": goal, "window": {"from": "2025-01-07", "to": "2025-01-08"}},
    ]
    chosen = [each for bit, each in enumerate(challenges) if parts >> bit & 1]
    badges: list[dict[str, Any]] = [{"id": f"b-{each['id']}", "challenge": each["id"]} for each in chosen]
    badges.append({"id": "b-facts", "fact": "purchase", "count": goal, "points": 1})
    if len(badges) > 2:
        badges.append({"id": "b-both", "badges": [badges[0]["id"], badges[1]["id"]], "points": 2})
    fact: dict[str, Any] = {
        "id": "buy",
        "event": "order.*",
        "when": f"event.properties.amount > {threshold}.0",
        "fact_type": "purchase",
    }
    fields = {"amount": "properties.amount", "item": "properties.item"} | ({"extra": "user_id"} if extra else {})
    fact |= {"fields": fields, "points": fact_points}
    heavy = {"id": "heavy", "event": "order.*", "when": "size(event.properties.l) > 0", "fact_type": "heavy"}
    return {"facts": [fact, heavy], "challenges": chosen, "badges": badges}


documents = st.builds(
    document,
    st.sampled_from([0, 3]),
    st.sampled_from([1, 2, 3]),
    st.booleans().map(bool),
    st.sampled_from([0, 5]),
    st.sampled_from(["", "other words"]),
    st.integers(0, 127),
    st.sampled_from([0, 1, 3]),
    st.booleans().map(bool),
)
events = st.builds(
    lambda name, user, day, amount, item, items: (
        event(name, user, day, amount=amount, item=item, l=[1] * items) if name != "visit" else event(name, user, day)
    ),
    st.sampled_from(["order.placed", "visit", "other"]),
    st.sampled_from(["u", "v"]),
    st.sampled_from([0, 0.9, 1, 1.5, 2, 3, 4, 7, 8, 9, 14]),
    st.sampled_from([1, 2, 5, 0.7]),
    st.sampled_from(["a", "b", 3]),
    st.sampled_from([1, LARGE, LARGE]),
)


@dataclass
class Job:
    """A replay job: what it is to replay, and how far it is."""

    id: str
    events: list[StoredEvent]
    force: bool
    rebuild: bool = False
    applied: int = 0
    status: str = "queued"
    done: int = 0
    effects: int = 0
    corrections: int = 0


Account = tuple[str, str, str, str]
"""User, kind of rule, rule id, version."""
Cut = tuple[int, str]
# In which of its slices something happens to a job, and what.
cuts = st.tuples(
    st.sampled_from([0, 1, 1, 2]), st.sampled_from(["end", "pause", "pause", "cancel", "die before", "die after"])
)


class Model:
    """What should be. A version of a rule has counted a set of events; everything else follows from these sets."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {}
        self.versions: dict[tuple[str, str], str] = {}
        self.counted: dict[tuple[str, str, str], dict[str, StoredEvent]] = defaultdict(dict)  # kind, id, version
        self.completions: dict[tuple[str, str, str], int] = defaultdict(int)  # id, version, user
        self.badges: set[tuple[str, str]] = set()
        self.effects: dict[tuple[str, str, str, str], int] = {}  # event, kind, id, version: generation
        self.paid: dict[Account, int] = defaultdict(int)
        self.credited: dict[Account, int] = defaultdict(int)  # what a version would have paid if others had not
        self.paid_for: dict[tuple[str, str], int] = defaultdict(int)  # by event and fact rule, whatever its version
        self.every_version: dict[tuple[str, str], list[str]] = defaultdict(
            list
        )  # of a rule, in the order of their numbers
        self.applied = 0
        self.users: dict[str, str] = {}  # by event
        self.replayed = False
        self.aside, self.in_a_row = False, 0  # the rule `heavy`, and for how many events it was too costly
        self.jobs: list[Job] = []

    def apply(self, document: dict[str, Any]) -> None:
        self.applied += document != self.document or self.aside
        if self.aside:
            self.aside, self.in_a_row = False, 0
        self.document = document
        parsed = parse_document(msgspec.json.encode(document))
        self.versions = {(kind, each.id): version_of(kind, each, parsed) for kind, each in parsed.all()}
        for named, version in self.versions.items():
            if version not in self.every_version[named]:
                self.every_version[named].append(version)

    def process(self, happened: StoredEvent, force: bool = False, *, replayed: bool = False) -> int:
        """How many effects it has now that it did not have before; with `force` also those that it had."""
        self.replayed = replayed
        self.users[happened.id] = happened.user_id
        if not self.document:
            return int(force)
        before = [
            key
            for key in self.effects
            if key[0] == happened.id
            and (key[1].split("/")[0], key[2]) in self.versions
            and self.versions[key[1].split("/")[0], key[2]] == key[3]
        ]
        for key in before:
            self.effects[key] += force
        new = len(before) if force else 0
        purchase, heavy = self._is_purchase(happened), self._is_heavy(happened)
        types = ["purchase"] * purchase + ["heavy"] * heavy or [f"custom.{happened.name}"]
        new += force and not (purchase or heavy)  # the default fact
        if purchase:
            new += self._cause(happened, "fact", "buy", self.document["facts"][0]["points"], 1)
        if heavy:
            new += self._cause(happened, "fact", "heavy", 0, 1)
        user = happened.user_id
        touched: set[str] = set()
        for each in self.document["challenges"]:
            if not any(_matches(each["fact"], kind) for kind in types):
                continue
            touched.add(each["id"])
            version = self.versions["challenge", each["id"]]
            counted = self.counted["challenge", each["id"], version]
            if happened.id in counted or (each["id"] == "fixed" and _day(happened) not in (DAY_0 + 1, DAY_0 + 2)):
                continue
            counted[happened.id] = happened
            own = [one for one in counted.values() if one.user_id == user]
            total = _completions(each, own)
            times = total - self.completions[each["id"], version, user]
            self.completions[each["id"], version, user] = total
            if times:
                new += self._cause(happened, "challenge", each["id"], each.get("points", 0), times)
        for each in self.document["badges"]:
            version = self.versions["badge", each["id"]]
            if "fact" in each and purchase:
                self.counted["badge", each["id"], version][happened.id] = happened
            reached = (
                ("challenge" in each and each["challenge"] in touched)
                or ("fact" in each and purchase)
                or any(badge in touched for badge in each.get("badges", ()))
            )
            if not reached:
                continue
            touched.add(each["id"])
            if (user, each["id"]) not in self.badges and self._is_earned(each, version, user):
                self.badges.add((user, each["id"]))
                new += self._cause(happened, "badge", each["id"], each.get("points", 0), 1)
        return new

    def of_status(self, *status: str) -> list[Job]:
        return [job for job in self.jobs if job.status in status]

    def next_job(self) -> Job | None:
        """The one that will be worked on: what runs goes before what waits, and both in the order in which they were made."""
        return next(iter(self.of_status("running") + self.of_status("queued")), None)

    def _is_purchase(self, happened: StoredEvent) -> bool:
        threshold = float(self.document["facts"][0]["when"].rpartition(" ")[2])
        return happened.name == "order.placed" and msgspec.json.decode(happened.properties)["amount"] > threshold

    def _is_heavy(self, happened: StoredEvent) -> bool:
        """Whether the rule `heavy` makes a fact of it. Live events count towards putting it aside; replays do as if it were not."""
        if happened.name != "order.placed":
            return False
        too_costly = len(msgspec.json.decode(happened.properties)["l"]) == LARGE
        if not self.replayed and not self.aside:
            self.in_a_row = self.in_a_row + 1 if too_costly else 0
            self.aside = self.in_a_row == PUT_ASIDE_AFTER
            return not too_costly
        return not too_costly and self.replayed

    def _is_earned(self, badge: dict[str, Any], version: str, user: str) -> bool:
        if "challenge" in badge:
            challenge = badge["challenge"]
            return self.completions[challenge, self.versions["challenge", challenge], user] > 0
        if "fact" in badge:
            counted = self.counted["badge", badge["id"], version].values()
            return sum(one.user_id == user for one in counted) >= badge["count"]
        return all((user, each) in self.badges for each in badge["badges"])

    def _cause(self, happened: StoredEvent, kind: str, rule_id: str, points: int, times: int) -> int:
        version = self.versions[kind, rule_id]
        if (happened.id, kind, rule_id, version) in self.effects:
            return 0
        self.effects[happened.id, kind, rule_id, version] = 0
        if not points or not self._pay(happened, kind, rule_id, points * times):
            return 1
        self.effects[happened.id, f"{kind}/points", rule_id, version] = 0
        return 2

    def _pay(self, happened: StoredEvent, kind: str, rule_id: str, worth: int) -> bool:
        """Pay what other versions of the rule have not paid; whether there is anything to say of it."""
        own = (happened.user_id, kind, rule_id, self.versions[kind, rule_id])
        credited = 0
        if kind == "fact":
            worth = max(0, worth - self.paid_for[happened.id, rule_id])
            self.paid_for[happened.id, rule_id] += worth
        elif kind == "challenge" and self.replayed:
            credited = min(worth, max(0, self.credit(own)))
        self.credited[own] += credited
        self.paid[own] += worth - credited
        return bool(worth)

    def credit(self, own: "Account") -> int:
        """What other versions of a rule have paid to a user, and this one has not been credited with yet."""
        user, kind, rule_id, version = own
        others = [each for each in self.every_version[kind, rule_id] if each != version]
        return sum(self.paid[user, kind, rule_id, each] for each in others) - self.credited[own]

    def due(self) -> dict[tuple[str, str, str], int]:
        """What the rules in force give each user, by rule."""
        found: dict[tuple[str, str, str], int] = defaultdict(int)
        for event_id, kind, rule_id, version in self.effects:
            if kind == "fact" and version == self.versions.get((kind, rule_id)):
                worth = self.document["facts"][0]["points"] if rule_id == "buy" else 0
                found[self.users[event_id], kind, rule_id] += worth
        for each in self.document.get("challenges", ()):
            for user in "uv":
                completions = self.completions[each["id"], self.versions["challenge", each["id"]], user]
                found[user, "challenge", each["id"]] = completions * each.get("points", 0)
        for each in self.document.get("badges", ()):
            for user in "uv":
                found[user, "badge", each["id"]] = ((user, each["id"]) in self.badges) * each.get("points", 0)
        return found

    def rebuild(self) -> int:
        """Bring what was paid to what is due; how many entries that takes."""
        due, corrections = self.due(), 0
        for user in "uv":
            for (kind, rule_id), versions in self.every_version.items():
                own = user, kind, rule_id, self.versions.get((kind, rule_id), versions[-1])
                paid = sum(self.paid[user, kind, rule_id, version] for version in versions)
                if kind == "challenge" and (kind, rule_id) in self.versions:
                    self.credited[own] += max(0, self.credit(own))
                corrections += due[user, kind, rule_id] != paid
                self.paid[own] += due[user, kind, rule_id] - paid
        return corrections

    @property
    def points(self) -> int:
        return sum(self.paid.values())


def _matches(pattern: str, text: str) -> bool:
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def _day(happened: StoredEvent) -> int:
    return happened.timestamp_ms // 86_400_000


def _completions(challenge: dict[str, Any], counted: list[StoredEvent]) -> int:
    """How often a set of events completes a challenge, whatever their order."""
    goal = Decimal(repr(challenge["goal"]))
    days = {_day(one) for one in counted}
    if challenge["id"] == "streak":
        runs = [sum(1 for _ in _run(start, days)) for start in days if start - 1 not in days]
        total = sum(int(run // goal) for run in runs)
    elif challenge["id"] == "sum":
        total = int(sum(Decimal(repr(msgspec.json.decode(one.properties)["amount"])) for one in counted) // goal)
    elif challenge["id"] == "weekly":
        weeks = [(_day(one) - DAY_0) // 7 for one in counted]
        total = sum(weeks.count(week) >= goal for week in set(weeks))
    elif challenge["id"] == "items":
        total = int(len({str(msgspec.json.decode(one.properties)["item"]) for one in counted}) >= goal)
    elif challenge["id"] == "lately":
        total = int(any(sum(_day(one) in (day - 1, day) for one in counted) >= goal for day in days))
    else:
        total = math.floor(len(counted) / goal)
    return total if challenge.get("repeat") else min(total, 1)


def _run(start: int, days: set[int]) -> Any:
    while start in days:
        yield start
        start += 1


class Reactions(RuleBasedStateMachine):
    template: Path

    def __init__(self) -> None:
        super().__init__()
        self._folder = in_memory.folder()
        self.machine = Machine(Path(self._folder.name), self.template)
        self.machine.limits = Limits(PUT_ASIDE_AFTER, 0)
        self.machine.restart()
        self.model = Model()
        self.past: list[StoredEvent] = []

    def teardown(self) -> None:
        self.machine.close()
        self._folder.cleanup()

    @initialize(rules=documents)
    def begin(self, rules: dict[str, Any]) -> None:
        self.change_rules(rules)

    @rule(rules=documents)
    def change_rules(self, rules: dict[str, Any]) -> None:
        self.machine.apply(rules)
        self.model.apply(rules)

    @rule(happened=st.lists(events, min_size=1, max_size=6), order=st.randoms(use_true_random=False))
    def react(self, happened: list[StoredEvent], order: Any) -> None:
        for one in happened:
            self.model.process(one)
        self.machine.react(*happened)
        self._keep(happened)

    def _keep(self, happened: list[StoredEvent]) -> None:
        self.machine.store.insert([record_of(one) for one in happened])
        self.past += happened

    @rule(happened=st.lists(events, min_size=1, max_size=4), dies=st.sampled_from(["before", "after"]))
    def crash_and_deliver_again(self, happened: list[StoredEvent], dies: str) -> None:
        self.machine.states.dies = dies
        try:
            self.machine.react(
                *happened
            )  # which saves nothing, and so does not crash, where the rules want none of them
        except Crash:
            committed = self.machine.reacted()
            # A turn ends early at an event at which a rule is put aside.
            assert (committed >= happened[0].position) == (dies == "after")
        self.machine.restart()
        for one in happened:
            self.model.process(one)
        self.machine.drain()
        self._keep(happened)

    @precondition(lambda self: self.past)
    @rule(data=st.data(), force=st.booleans(), dry_run=st.booleans())
    def replay(self, data: st.DataObject, force: bool, dry_run: bool) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.past), unique_by=lambda one: one.id, max_size=5))
        before = self.machine.rows("select * from effects")
        outcome = self.machine.replay(*chosen, force=force, dry_run=dry_run)
        if dry_run:
            assert self.machine.rows("select * from effects") == before
            return
        assert len(outcome.effects) == sum(self.model.process(one, force, replayed=True) for one in chosen)

    @rule()
    def restart(self) -> None:
        self.machine.restart()

    @precondition(lambda self: self.past)
    @rule(data=st.data(), force=st.booleans(), limit=st.sampled_from([None, None, 5]), cut=cuts)
    def start_a_job(self, data: st.DataObject, force: bool, limit: int | None, cut: Cut) -> None:
        chosen = data.draw(st.none() | st.lists(st.sampled_from(self.past), min_size=3, max_size=6))
        name = None if chosen else data.draw(st.sampled_from([None, "order.placed"]))
        ids = chosen and [one.id for one in chosen]
        matching = {one.id: one for one in chosen or self.past if name in (None, one.name)}
        wanted = sorted(matching.values(), key=lambda one: (one.timestamp_ms, one.position))[:limit]
        job = self.machine.start_job(Selection(ids, Filters(name=name), limit), force=force)
        assert job.total == len(wanted)
        self.model.jobs.append(Job(job.id, wanted, force))
        self.work_on_a_job([cut])

    @precondition(lambda self: self.model.of_status("running", "queued", "paused"))
    @rule(cuts=st.lists(cuts, min_size=1, max_size=4))
    def work_on_a_job(self, cuts: list[Cut]) -> None:
        """It is paused, cancelled or cut off in one of its slices, or comes to its end."""
        for at, then in cuts:
            if job := self.model.next_job() or self._resume():
                self._work(job, at, then)

    def _resume(self) -> Job | None:
        for job in self.model.of_status("paused"):
            self.machine.jobs.steer(TENANT, job.id, "resume", 1)
            job.status = "queued"
            return job
        return None

    def _work(self, job: Job, at: int, then: str) -> None:
        def on_slice(number: int) -> None:
            if number == at and then.startswith("die"):
                self.machine.states.dies = then.split()[1]
            elif number == at and then != "end":
                self.machine.jobs.steer(TENANT, job.id, cast("Action", then), 1)

        try:
            self.machine.work(on_slice)
        except Crash:
            self.machine.restart()
        left = job.events[job.done :]
        cut_off = then != "end" and 2 * at < len(left)
        if cut_off:
            left = left[: 2 * at + (2 if then == "die after" else 0)]
        job.effects += sum(self.model.process(one, job.force, replayed=True) for one in left)
        job.done += len(left)
        if job.rebuild and not cut_off:
            self._rebuild(job)
            return
        job.status = {"pause": "paused", "cancel": "cancelled"}.get(then, "running") if cut_off else "done"

    def _rebuild(self, job: Job) -> None:
        if job.applied == self.model.applied:
            job.corrections += self.model.rebuild()
            job.status = "done"
        else:
            job.status = "failed"

    @precondition(lambda self: self.past)
    @rule(cut=cuts)
    def rebuild(self, cut: Cut) -> None:
        """Every event again, and then the ledger is what the rules in force give; a dry run says so beforehand."""
        foreseen = self.machine.rehearse() if not self.model.of_status("queued", "running", "paused") else None
        wanted = sorted(self.past, key=lambda one: (one.timestamp_ms, one.position))
        job = self.machine.start_job(Selection(None, Filters(), None), force=False, rebuild=True)
        self.model.jobs.append(Job(job.id, wanted, False, rebuild=True, applied=self.model.applied))
        before = self.model.points
        self.work_on_a_job([cut])
        if foreseen is not None and self.model.jobs[-1].status == "done":
            assert foreseen.corrected_points + foreseen.points == self.model.points - before
            assert foreseen.corrections == self.model.jobs[-1].corrections
            assert (foreseen.events, foreseen.effects) == (len(wanted), self.model.jobs[-1].effects)
            due = self.model.due()
            ledger = self.machine.rows(
                "select p.name, r.kind, r.rule_id, sum(t.points) from points t join rules r on r.no = t.rule_no "
                "join participants p on p.no = t.participant_no group by 1, 2, 3 having sum(t.points) != 0"
            )
            assert ledger == sorted((*key, points) for key, points in due.items() if points)

    @precondition(lambda self: self.model.of_status("queued", "paused", "running"))
    @rule(data=st.data(), action=st.sampled_from(["pause", "resume", "resume", "resume", "cancel"]))
    def steer_a_job(self, data: st.DataObject, action: Any) -> None:
        job = data.draw(st.sampled_from(self.model.of_status("queued", "paused", "running")))
        self.machine.jobs.steer(TENANT, job.id, action, 1)
        if action != "resume" or job.status == "paused":
            job.status = {"pause": "paused", "cancel": "cancelled", "resume": "queued"}[action]

    @invariant()
    def jobs_are_as_far_as_the_model_says(self) -> None:
        for job in self.model.jobs:
            now = self.machine.jobs.get(TENANT, job.id)
            found = (now.status, now.total, now.replayed, now.effects, now.failed, now.corrections)
            assert found == (job.status, len(job.events), job.done, job.effects, 0, job.corrections)
        assert self.machine.store.count(TENANT, Filters()).total == len(self.past)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        found = self.machine.rows(
            "select e.event_id, r.kind || iif(e.kind = 'points', '/points', ''), r.rule_id, r.version, e.generation "
            "from effects e join rules r on r.no = e.rule_no"
        )
        wanted = [(*key, each) for key, last in self.model.effects.items() for each in range(last + 1)]
        assert found == sorted(wanted)
        standings = self.machine.rows(
            "select r.rule_id, r.version, p.name, s.completions from standings s join rules r on r.no = s.rule_no "
            "join participants p on p.no = s.participant_no where s.completions > 0"
        )
        assert standings == sorted((*key, count) for key, count in self.model.completions.items() if count)
        assert {(user, badge) for user in "uv" for badge in self.machine.badges(user)} == self.model.badges
        aside = [(each.mode, self.machine.number("heavy")) for each in self.machine.overruns.put_aside("p")]
        assert aside == [("live", self.machine.number("heavy"))] * self.model.aside
        assert self.machine.points() == self.model.points
        balances = self.machine.rows(
            "select p.name, b.balance from balances b join participants p on p.no = b.participant_no"
        )
        ledger = {user: sum(paid for own, paid in self.model.paid.items() if own[0] == user) for user in "uv"}
        assert {user: balance for user, balance in balances if balance} == {
            user: each for user, each in ledger.items() if each
        }


def test_progress_badges_points_and_effects_are_those_of_the_model_whatever_happens(
    template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Reactions.template = template
    monkeypatch.setattr("headrace.replay.pages._FIRST_PAGE", 2)
    monkeypatch.setattr("headrace.replay.pages._PAGE", 4)
    run_state_machine_as_test(
        Reactions,
        settings=hypothesis_settings(
            max_examples=25, stateful_step_count=25, deadline=None, phases=(Phase.generate, Phase.shrink)
        ),
    )
