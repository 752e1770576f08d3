"""Whatever is erased, in whatever order and whatever crashes, what is left is what a list without the erased would have led to."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.control.replay_jobs import ReplayJobs
from headrace.model.entries import Entry, ErasedEvent, Kind
from headrace.model.event import StoredEvent
from headrace.model.filters import Filters, Selection
from headrace.model.quarantine import Quarantined
from headrace.model.reaction_state import Needs
from headrace.ports.reactions import StateChanged
from headrace.replay.jobs import plan
from headrace.upkeep.check import check
from tests import in_memory
from tests.fakes import MemoryErasedEvents, MemoryLog, MemoryQuarantine, MemoryStore
from tests.reactions.given import TENANT, Crash, event, record_of
from tests.upkeep.erasing import ErasingMachine

RULES = {
    "facts": [
        {"id": "buy", "event": "bought", "fact_type": "buy", "points": 3},
        {"id": "big", "event": "heavy", "when": "size(event.properties.l) > 0", "fact_type": "big"},
    ],
    "challenges": [
        {"id": "two", "fact": "buy", "goal": 2, "repeat": True, "points": 10},
        {"id": "days", "fact": "custom.seen", "measure": "streak", "goal": 2},
    ],
    "badges": [{"id": "b", "challenge": "two", "points": 1}],
}
STEPS = ("listed", "detached", "forgotten", "erased", "undelivered", "redacted", "overwritten")
USERS = ("u", "v", "w")


def anonymous(name: str, user: str, day: float) -> StoredEvent:
    return msgspec.structs.replace(event(name, "", day), anonymous_id=f"a-{user}")


def identify(user: str) -> StoredEvent:
    said = {"type": "identify", "anonymous_id": f"a-{user}", "traits": f'{{"email":"{user}@x.se"}}'}
    return msgspec.structs.replace(event("user.identified", user), **said)


def join_group(user: str) -> StoredEvent:
    return msgspec.structs.replace(event("joined", user), type="group", source="segment", group_id="g")


users, days = st.sampled_from(USERS), st.sampled_from([0, 1, 1.5, 2, 4])
actions = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["bought", "seen", "heavy", "anonymous"]), users, days),
        st.tuples(st.sampled_from(["identify", "group", "erase", "erase", "work"]), users, st.just(0)),
        st.tuples(st.just("restart"), st.just(""), st.just(0)),
        st.tuples(st.just("crash"), st.sampled_from(STEPS), st.just(0)),
    ),
    max_size=25,
)


@pytest.fixture(scope="module")
def folder(template: Path) -> Path:
    return template


@given(actions)
@settings(max_examples=25, deadline=None)
def test_what_is_left_is_what_a_list_without_the_erased_leads_to(
    folder: Path, done: list[tuple[str, str, float]]
) -> None:
    with in_memory.folder() as one, in_memory.folder() as other:
        machine, spared = ErasingMachine(Path(one), folder), ErasingMachine(Path(other), folder)
        for each in (machine, spared):
            each.apply(RULES)
        kept: list[StoredEvent] = []
        joined: set[str] = set()
        for action, user, day in done:
            if action in ("bought", "seen", "heavy", "anonymous", "identify", "group"):
                taken = made(action, user, day)
                machine.take(taken)
                kept.append(taken)
                joined |= {user} if action == "identify" else set()
            elif action == "erase":
                machine.erase(user)
                ids = {user, f"a-{user}"} if user in joined else {user}
                joined -= {user}
                kept = [each for each in kept if (each.user_id or each.anonymous_id) not in ids]
            elif action == "restart":
                machine.restart()
            else:
                machine.dies_after = user if action == "crash" else ""
                work(machine)
        machine.dies_after = ""
        work(machine)
        spared.take(*kept)
        work(spared)
        try:
            assert machine.state() == spared.state()
            assert machine.store.present(0, 1 << 62) == {each.id for each in kept}
            assert [each.id for each in machine.log.records if each.kind == Kind.EVENT] == [each.id for each in kept]
            assert machine.rows("SELECT DISTINCT status, ids FROM erasures") in ([], [("done", "[]")])
        finally:
            machine.close()
            spared.close()


def made(action: str, user: str, day: float) -> StoredEvent:
    if action == "anonymous":
        return anonymous("bought", user, day)
    if action == "identify":
        return identify(user)
    if action == "group":
        return join_group(user)
    return event(action, user, day, l=[1] * 3000) if action == "heavy" else event(action, user, day)


def work(machine: ErasingMachine) -> None:
    try:
        machine.work()
    except Crash:
        machine.restart()
        work(machine)


@pytest.fixture
def machine(tmp_path: Path, template: Path) -> Any:
    machine = ErasingMachine(tmp_path, template)
    machine.apply(RULES)
    yield machine
    machine.close()


def test_events_after_the_command_wait_and_are_about_somebody_new(machine: ErasingMachine) -> None:
    machine.take(event("bought"), event("bought"))
    erasure_id = machine.erase("u")
    machine.take(event("bought"), event("bought", "v"))
    machine.drain()
    assert machine.completions("two") == 1, "what came before is reacted to, and what comes after waits"
    assert machine.completions("two", "v") == 0
    assert machine.reactor.lags()
    machine.work()
    assert (machine.completions("two"), machine.badges(), machine.points()) == (0, set(), 6)
    receipt = machine.erasures.get(TENANT, erasure_id)
    assert (receipt.status, receipt.removed["events"], receipt.removed["points_entries"]) == ("done", 2, 4)
    assert not machine.reactor.lags()


def test_only_the_erasures_own_project_and_mode_waits(machine: ErasingMachine) -> None:
    machine.erase("u")
    machine.take(event("bought", mode="test"), event("bought"))
    machine.drain()
    assert machine.reacted("test") > machine.reacted("live")
    machine.work()
    assert machine.reacted("live") == machine.log.last()


def test_a_replay_that_has_read_events_before_they_were_erased_brings_nothing_back(machine: ErasingMachine) -> None:
    read = [event("bought"), event("bought", "v")]
    machine.take(*read)
    machine.erase("u")
    machine.work()
    before = machine.state()
    outcome = machine.replay(*read, force=True)
    assert {effect.participant for effect in outcome.effects} == {"v"}
    assert machine.state()["participants"] == before["participants"]


def test_whoever_has_read_the_state_before_has_to_read_it_again(machine: ErasingMachine) -> None:
    machine.take(event("bought"))
    machine.drain()
    loaded = machine.states.load(TENANT, Needs([], ["u"], {}))
    machine.erase("u")
    machine.work()
    with pytest.raises(StateChanged):
        machine.states.save(TENANT, loaded)


def test_an_entry_that_was_put_aside_is_erased_with_its_person_and_a_retry_of_it_stays_known(
    machine: ErasingMachine,
) -> None:
    own, others = record_of(event("bought")), record_of(event("bought", "v"))
    torn = encode_torn(record_of(event("bought")).payload)
    entries = [(own, own.payload), (others, others.payload), (record_of(event("bought")), torn)]
    machine.quarantine.add(
        [Quarantined(each.position, 7, 0, "torn", payload, b"k" * 16, 1) for each, payload in entries]
    )
    machine.take(event("bought"))
    erasure_id = machine.erase("u")
    machine.work()
    assert [each.position for each in machine.quarantine.listed(-1, 10)] == [others.position]
    assert machine.erasures.get(TENANT, erasure_id).removed["quarantined"] == 2
    listed = machine.rows("SELECT position, key FROM erased")
    assert (own.position, b"k" * 16) in listed


def encode_torn(payload: bytes) -> bytes:
    return payload.replace(b'"name"', b'"na\xff')


def test_replay_jobs_that_name_the_person_are_cancelled_and_no_longer_name_them(machine: ErasingMachine) -> None:
    machine.take(event("bought"), event("bought", "v"))
    jobs = ReplayJobs(machine.engine)
    machine.drain()
    own = make_job(machine, jobs, "u")
    others = make_job(machine, jobs, "v")
    machine.erase("u")
    machine.work()
    assert (jobs.get(TENANT, own).status, jobs.get(TENANT, own).filters) == ("cancelled", Filters())
    assert jobs.get(TENANT, others).status == "queued"


def make_job(machine: ErasingMachine, jobs: ReplayJobs, user: str) -> str:
    selection = Selection(None, Filters(person=user), None)
    job, ids = plan(machine.store, TENANT, selection, force=False, upto=machine.store.last(0), now_ms=1)
    return jobs.create(job, ids).id


def test_a_command_that_could_not_be_appended_is_appended_later(machine: ErasingMachine) -> None:
    machine.take(event("bought"))
    machine.erasures.request(TENANT, "u", 1)  # and the process ends
    machine.restart()
    machine.work()
    assert machine.store.present(0, 1 << 62) == set()


def test_a_check_beside_an_erasure_does_not_miss_what_is_about_to_go() -> None:
    store, erased = MemoryStore(), MemoryErasedEvents()
    log, quarantine = MemoryLog(clock_ms=lambda: 1_736_899_200_000), MemoryQuarantine()
    [receipt] = log.append([Entry(record_of(event("bought")).payload)])
    store.insert(log.read(0, 1, 1 << 20))
    erased.add([ErasedEvent(receipt.position, receipt.tail)])
    for is_erasing, problems in ((True, 0), (False, 1)):
        report = check(log, store, Committed(receipt.position), erased, quarantine, is_erasing=lambda it=is_erasing: it)
        assert len(report.problems) == problems


class Committed:
    """A worker's position."""

    def __init__(self, position: int) -> None:
        self._position = position

    def take_again(self) -> bool:
        return False

    def position(self) -> int:
        return self._position

    def commit(self, position: int, /) -> None: ...
