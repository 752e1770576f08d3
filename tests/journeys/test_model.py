"""Random events, clocks, crashes, restarts, replays and changed rules, against a small model in which a run is a generator."""

from collections import Counter
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from headrace.model.event import StoredEvent, received_at_ms
from headrace.model.journeys import Run
from headrace.pipeline.applying_rules import parse_document
from headrace.reactions.meaning import version_of
from tests import in_memory
from tests.journeys.given import DAY_MS, HOUR_MS
from tests.journeys.machine import Machine
from tests.reactions.given import Crash

MS = {"30m": HOUR_MS // 2, "1h": HOUR_MS, "2h": 2 * HOUR_MS, "1d": DAY_MS}


def document(entry: Any, wait: str, timeout: str, least: int, parts: int) -> dict[str, Any]:
    """One of many rule sets; `parts` says, bit by bit, what is in it."""
    steps: list[dict[str, Any]] = [{"id": "w", "wait": wait}]
    steps.append(
        {"id": "f", "wait_for": {"event": "order", "when": f"event.properties.n >= {least}", "timeout": timeout}}
    )
    branch: dict[str, Any] = {"when": "steps.f.happened && steps.f.event.properties.n >= 2"}
    branch |= {"then": [{"id": "sent", "emit": {"event": "sent"}}]}
    if parts & 1:
        branch |= {"else": [{"id": "v", "wait": "30m"}, {"id": "lost", "emit": {"event": "lost"}}]}
    steps.append({"id": "x", "branch": branch})
    first = {"id": "a", "trigger": {"event": "start"}, "entry": entry, "steps": steps}
    if parts & 2:
        first |= {"exit": ["stop"]}
    second = {"id": "b", "trigger": {"event": "sent" if parts & 4 else "order"}, "entry": {"at_most": 2}}
    second |= {"steps": [{"id": "w", "wait": "1h"}, {"id": "e", "emit": {"event": "again"}}]}
    return {"journeys": [each for bit, each in ((8, first), (16, second)) if parts & bit]}


documents = st.builds(
    document,
    st.sampled_from(["once", {"per": "2h"}, {"at_most": 2}]),
    st.sampled_from(["30m", "1h"]),
    st.sampled_from(["1h", "1d"]),
    st.sampled_from([1, 2]),
    st.integers(8, 31),
)


class ModelRun:
    def __init__(self, rule: dict[str, Any], version: str, event: StoredEvent, at_ms: int) -> None:
        self.journey, self.version, self.rule = rule["id"], version, rule
        self.user, self.event_id, self.position = event.user_id, event.id, event.position
        self.started_ms = self.now_ms = at_ms
        self.status, self.awaits, self.due_ms = "active", "", None
        self.visits: list[tuple[str, str]] = []
        self.emitted: list[tuple[str, int]] = []
        self.got: dict[str, Any] = {}
        self.way = self._walk(rule["steps"])
        self.go(None)

    def go(self, event: StoredEvent | None) -> None:
        try:
            self.awaits, self.due_ms = self.way.send(event)
        except StopIteration:
            self.status, self.awaits, self.due_ms = "done", "", None

    def _walk(self, steps: list[dict[str, Any]]) -> Generator[tuple[str, int], StoredEvent | None, None]:
        for step in steps:
            name = step["id"]
            if "wait" in step:
                yield "", self.now_ms + MS[step["wait"]]
                self.visits.append((name, "waited"))
            elif "wait_for" in step:
                event = yield step["wait_for"]["event"], self.now_ms + MS[step["wait_for"]["timeout"]]
                self.got[name] = event
                self.visits.append((name, "happened" if event else "timed_out"))
            elif "branch" in step:
                got = self.got["f"]
                taken = got is not None and n_of(got) >= 2
                self.visits.append((name, "then" if taken else "else"))
                yield from self._walk(step["branch"].get("then" if taken else "else", []))
            else:
                self.emitted.append((step["emit"]["event"], self.now_ms))
                self.visits.append((name, "emitted"))

    def fire(self) -> None:
        assert self.due_ms is not None
        self.now_ms = max(self.now_ms, self.due_ms)
        self.go(None)

    def happen(self, event: StoredEvent, at_ms: int) -> None:
        if event.position <= self.position:
            return
        if event.name in self.rule.get("exit", []):
            self.status, self.awaits, self.due_ms = "exited", "", None
        elif event.name == self.awaits and n_of(event) >= self._least():
            self.now_ms = max(self.now_ms, at_ms)
            self.position = event.position
            self.go(event)

    def _least(self) -> int:
        return int(self.rule["steps"][1]["wait_for"]["when"][-1])


def n_of(event: StoredEvent) -> int:
    return msgspec.json.decode(event.properties or "{}").get("n", 0)


class Model:
    """What should be: each person's events and timers in the order of time."""

    def __init__(self) -> None:
        self.rules: list[dict[str, Any]] = []
        self.versions: dict[str, str] = {}
        self.runs: list[ModelRun] = []

    def apply(self, given: dict[str, Any]) -> None:
        parsed = parse_document(msgspec.json.encode(given))
        self.rules = given["journeys"]
        self.versions = {each.id: version_of("journey", each, parsed) for each in parsed.journeys}

    def fire(self, upto_ms: int, user: str | None = None) -> None:
        for run in self.runs:
            while run.due_ms is not None and run.due_ms <= upto_ms and user in (None, run.user):
                run.fire()

    def react(self, event: StoredEvent, at_ms: int, replayed: bool = False) -> int:
        """How many runs it starts."""
        if not replayed:
            self.fire(at_ms, event.user_id)
        for run in self.runs:
            if run.status == "active" and run.user == event.user_id:
                run.happen(event, at_ms)
        new = 0
        for each in self.rules:
            version = self.versions[each["id"]]
            if each["trigger"]["event"] != event.name:
                continue
            if any((run.event_id, run.version) == (event.id, version) for run in self.runs):
                continue
            own = [run for run in self.runs if (run.user, run.journey) == (event.user_id, each["id"])]
            if replayed:
                own = [run for run in own if run.version == version]
            if self._may_enter(each["entry"], own, at_ms):
                self.runs.append(ModelRun(each, version, event, at_ms))
                new += 1
        return new

    def _may_enter(self, entry: Any, own: list[ModelRun], at_ms: int) -> bool:
        if entry == "once":
            return not own
        if "per" in entry:
            return all(at_ms - run.started_ms >= MS[entry["per"]] for run in own)
        return sum(run.status == "active" for run in own) < entry["at_most"]


class JourneysOnAClock(RuleBasedStateMachine):
    template: Path

    @initialize(given=documents)
    def begin(self, given: dict[str, Any]) -> None:
        self.folder = in_memory.folder()
        self.machine, self.model = Machine(Path(self.folder.name), self.template), Model()
        self.known: list[StoredEvent] = []  # what the model has seen, in the order of the log
        self.change(given)

    def teardown(self) -> None:
        if hasattr(self, "machine"):
            self.machine.close()
            self.folder.cleanup()

    @rule(given=documents)
    def change(self, given: dict[str, Any]) -> None:
        self.machine.apply(given)
        self.model.apply(given)

    @rule(name=st.sampled_from(["start", "order", "stop"]), user=st.sampled_from("uv"), n=st.integers(0, 3))
    def send(self, name: str, user: str, n: int) -> None:
        self.machine.send(name, user, n=n)
        self.settle()

    @rule(
        sent=st.lists(st.tuples(st.sampled_from(["start", "order", "stop"]), st.sampled_from("uv")), max_size=3),
        ms=st.sampled_from([HOUR_MS // 2, HOUR_MS, 5 * HOUR_MS, 2 * DAY_MS]),
    )
    def be_down(self, sent: list[tuple[str, str]], ms: int) -> None:
        """Events are acknowledged but not reacted to, the process dies, and time goes by before the next one."""
        for name, user in sent:
            self.machine.send(name, user, n=2)
        self.machine.restart()
        self.machine.now_ms += ms
        self.settle()

    @rule(ms=st.sampled_from([1, HOUR_MS // 2, HOUR_MS, 3 * HOUR_MS, DAY_MS]))
    def wait(self, ms: int) -> None:
        self.machine.now_ms += ms
        self.settle()

    @rule(
        where=st.sampled_from(["before", "after", "fire", "fired", "emit", "before intake", "after intake", "emitted"]),
        name=st.sampled_from(["start", "order"]),
        ms=st.sampled_from([0, HOUR_MS, DAY_MS]),
    )
    def crash(self, where: str, name: str, ms: int) -> None:
        self.machine.now_ms += ms
        self.machine.send(name, "u", n=2)
        self.machine.dies = where
        self.machine.states.dies = where if where in ("before", "after") else ""
        with suppress(Crash):
            self.machine.settle()
        self.machine.restart()
        self.settle()

    @rule(data=st.data(), dry_run=st.booleans())
    def replay(self, data: st.DataObject, dry_run: bool) -> None:
        if not self.known:
            return
        events = data.draw(st.lists(st.sampled_from(self.known), max_size=4, unique_by=lambda event: event.id))
        events = sorted(events, key=lambda event: event.position)
        outcome = self.machine.replay(*events, dry_run=dry_run)
        if not dry_run:
            entered = [each for each in outcome.effects if each.kind == "journey" and each.detail["did"] == "entered"]
            assert len(entered) == sum(self.model.react(event, self.machine.now_ms, replayed=True) for event in events)
            self.settle()

    def settle(self) -> None:
        """Both get to where nothing is left to do; events that a crash or a clock kept from the model come to it in order."""
        self.machine.settle()
        for event in self.machine.events()[len(self.known) :]:
            self.known.append(event)
            self.model.react(event, received_at_ms(event.position))
        self.model.fire(self.machine.now_ms)

    @invariant()
    def it_is_as_the_model_says(self) -> None:
        if not hasattr(self, "machine"):
            return
        versions, runs = dict(self.machine.rows("select no, version from rules")), self.machine.runs()
        found = [
            (
                *(run.journey, versions[run.rule_no], run.person, run.event_id, run.status, run.started_ms, run.due_ms),
                [(visit.step, visit.outcome) for visit in run.visits if visit.outcome not in ("", "exited")],
            )
            for run in runs
        ]
        wanted = [
            (run.journey, run.version, run.user, run.event_id, run.status, run.started_ms, run.due_ms, run.visits)
            for run in self.model.runs
        ]
        assert sorted(found, key=repr) == sorted(wanted, key=repr)
        emitted = Counter((event.name, event.user_id, event.timestamp_ms) for event in self.machine.emitted())
        assert emitted == Counter((name, run.user, at_ms) for run in self.model.runs for name, at_ms in run.emitted)
        assert self.machine.rows("select count(*) from emits") == [(0,)]
        self._counts_are_those_of(runs)

    def _counts_are_those_of(self, runs: list[Run]) -> None:
        counts: Counter[tuple[Any, ...]] = Counter()
        for run in runs:
            counts[run.rule_no, "", run.status] += 1
            for visit in run.visits:
                counts[run.rule_no, visit.step, visit.outcome] += 1
        kept = self.machine.rows("select rule_no, step, outcome, runs from run_counts where runs != 0")
        assert kept == sorted((*key, count) for key, count in counts.items())


def test_runs_are_those_of_the_model_whatever_happens(template: Path) -> None:
    JourneysOnAClock.template = template
    run_state_machine_as_test(
        JourneysOnAClock,
        settings=hypothesis_settings(
            max_examples=25, stateful_step_count=25, deadline=None, phases=(Phase.generate, Phase.shrink)
        ),
    )
