"""Remembered answers: never one that a change since could have made another, whatever happens while it is worked out."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, rule

from headrace.model.errors import Unavailable
from headrace.model.event import Event, Tenant, encode
from headrace.store.answers import Answers, Scope

HOUR = 3_000_000  # near enough, and whole slots
ONE, OTHER = Tenant("p", "live"), Tenant('p","mode":"live","source":', "live")
ROOM = 1 << 20


def row(tenant: Tenant, at_ms: int) -> bytes:
    return encode(Event(tenant.project, tenant.mode, "flux", ',"timestamp_ms":1,', at_ms))


def never() -> bool:
    return False


def remembered(answers: Answers, scope: Scope, question: object = "q") -> bool:
    """Whether it need not be asked; if it had to be, the answer is kept."""
    asked: list[bytes] = []

    def ask() -> bytes:
        asked.append(b"a")
        return b"a"

    assert answers.of(scope, question, ask, never) == b"a"
    return not asked


def test_a_repeat_is_answered_from_memory() -> None:
    answers = Answers(ROOM)
    assert [remembered(answers, Scope(ONE)) for _ in range(3)] == [False, True, True]
    assert (answers.hits, answers.misses) == (2, 1)
    assert not remembered(answers, Scope(ONE), "another question")
    assert not remembered(answers, Scope(OTHER)), "of another project"
    assert not remembered(answers, Scope(Tenant("p", "test"))), "of another mode"


@pytest.mark.parametrize(
    ("scope", "at_ms", "stays"),
    [
        (Scope(ONE), 0, False),
        (Scope(ONE, 5 * HOUR, 6 * HOUR - 1), 5 * HOUR - 1, True),
        (Scope(ONE, 5 * HOUR, 6 * HOUR - 1), 5 * HOUR, False),
        (Scope(ONE, 5 * HOUR, 6 * HOUR - 1), 6 * HOUR - 1, False),
        (Scope(ONE, 5 * HOUR, 6 * HOUR - 1), 6 * HOUR, True),
        (Scope(ONE, None, 6 * HOUR - 1), 6 * HOUR, True),
        (Scope(ONE, None, 6 * HOUR - 1), 0, False),
        (Scope(ONE, 5 * HOUR, None), 5 * HOUR - 1, True),
        (Scope(ONE, 5 * HOUR, None), 90 * HOUR, False),
        (Scope(OTHER), 0, True),
        (Scope(ONE.metrics), 0, True),
    ],
)
def test_an_event_spoils_what_its_time_lies_in(scope: Scope, at_ms: int, stays: bool) -> None:
    answers = Answers(ROOM)
    remembered(answers, scope)
    answers.added([row(ONE, at_ms), row(Tenant("p", "test"), 5 * HOUR)])
    assert remembered(answers, scope) is stays


def test_one_late_event_among_many_spoils_what_it_lies_in() -> None:
    answers = Answers(ROOM)
    days = [Scope(ONE, day * 24 * HOUR, (day + 1) * 24 * HOUR - 1) for day in range(4)]
    for day in days:
        remembered(answers, day)
    answers.added([row(ONE, 3 * 24 * HOUR + number) for number in range(50)] + [row(ONE, 30 * HOUR)])
    assert [remembered(answers, day) for day in days] == [True, False, True, False]


def test_events_of_many_tenants_each_spoil_their_own() -> None:
    answers, tenants = Answers(ROOM), [Tenant(f"p{number}", "live") for number in range(9)]
    for tenant in (*tenants, ONE):
        remembered(answers, Scope(tenant, 0, HOUR - 1))
    answers.added([row(tenant, number * HOUR // 5) for _ in range(2) for number, tenant in enumerate(tenants)])
    assert [remembered(answers, Scope(tenant, 0, HOUR - 1)) for tenant in tenants] == [False] * 5 + [True] * 4
    assert remembered(answers, Scope(ONE, 0, HOUR - 1)), "whose name begins as theirs do"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"source":"x"}',
        b'{"project":"p","source":"x","timestamp_ms":"1"}',
        b'{"project":"p","source":"x"}',
    ],
)
def test_a_payload_that_it_cannot_read_spoils_everything(payload: bytes) -> None:
    answers = Answers(ROOM)
    remembered(answers, Scope(OTHER))
    answers.added([row(ONE, 0), payload])
    assert not remembered(answers, Scope(OTHER))


def test_what_is_removed_from_a_tenant_spoils_that_tenants_answers() -> None:
    answers = Answers(ROOM)
    scopes = [Scope(ONE, 0, 1), Scope(ONE.metrics), Scope(OTHER)]
    for scope in scopes:
        remembered(answers, scope)
    answers.changed(ONE)
    assert [remembered(answers, scope) for scope in scopes] == [False, False, True]
    answers.forget()
    assert [remembered(answers, scope) for scope in scopes] == [False, False, False]


@pytest.mark.parametrize(
    "change", [lambda of: of.added([row(ONE, 0)]), lambda of: of.changed(ONE), lambda of: of.forget()]
)
def test_what_changed_while_it_was_asked_is_not_remembered(change: Callable[[Answers], None]) -> None:
    answers = Answers(ROOM)

    def ask() -> bytes:
        change(answers)
        return b"a"

    answers.of(Scope(ONE), "q", ask, never)
    assert not remembered(answers, Scope(ONE))
    assert remembered(answers, Scope(ONE))


def test_a_question_that_fails_is_asked_again() -> None:
    answers = Answers(ROOM)

    def ask() -> bytes:
        raise Unavailable("no")

    with pytest.raises(Unavailable):
        answers.of(Scope(ONE), "q", ask, never)
    assert not remembered(answers, Scope(ONE))


def test_the_same_question_at_the_same_time_is_asked_once_unless_something_changes_meanwhile() -> None:
    answers, begun, go_on = Answers(ROOM), threading.Semaphore(0), threading.Event()
    asked: list[int] = []

    def ask() -> bytes:
        asked.append(1)
        begun.release()
        assert go_on.wait(30)
        return b"%d" % len(asked)

    def of() -> bytes:
        return answers.of(Scope(ONE), "q", ask, never)

    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(of)
        assert begun.acquire(timeout=30)
        second = threads.submit(of)
        answers.added([row(ONE, 0)])
        third = threads.submit(of)  # began after the change
        assert begun.acquire(timeout=30)
        go_on.set()
        assert {first.result(30), second.result(30), third.result(30)} <= {b"1", b"2"}
        assert third.result() == b"2"
    assert len(asked) == 2


def test_who_waits_for_the_same_question_can_be_cancelled() -> None:
    answers, begun, go_on = Answers(ROOM), threading.Event(), threading.Event()

    def ask() -> bytes:
        begun.set()
        assert go_on.wait(30)
        return b"a"

    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(answers.of, Scope(ONE), "q", ask, never)
        assert begun.wait(30)
        with pytest.raises(Unavailable, match="cancelled"):
            answers.of(Scope(ONE), "q", ask, lambda: True)
        go_on.set()
        assert first.result(30) == b"a"


def test_memory_is_bounded_and_a_large_project_takes_none_from_a_small_one() -> None:
    answers = Answers(20_000)
    remembered(answers, Scope(OTHER))
    for number in range(200):
        answers.of(Scope(ONE), number, lambda: b"x" * 600, never)
        assert answers.size <= 20_000
    assert remembered(answers, Scope(OTHER))
    assert not remembered(answers, Scope(ONE), "a large one" + "x" * 3000)
    answers.of(Scope(ONE), "larger", lambda: b"x" * 3000, never)
    before = answers.misses
    answers.of(Scope(ONE), "larger", lambda: b"x" * 3000, never)
    assert answers.misses == before + 1, "an answer of more than an eighth of the room is not kept"
    answers.forget()
    assert answers.size == 0


HOURS = st.integers(0, 5)
TENANTS = st.sampled_from((ONE, OTHER))


class World(RuleBasedStateMachine):
    """Rows, counted by questions that are remembered; rows come and go between questions, and while one is worked out."""

    questions = Bundle("questions")

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[Tenant, int]] = []
        self.answers = Answers(4000)

    @rule(target=questions, tenant=TENANTS, first=st.none() | HOURS, last=st.none() | HOURS)
    def think_of(self, tenant: Tenant, first: int | None, last: int | None) -> Scope:
        return Scope(tenant, None if first is None else first * HOUR, None if last is None else last * HOUR)

    @rule(question=questions, before=st.none() | HOURS, after=st.none() | HOURS)
    def ask(self, question: Scope, before: int | None, after: int | None) -> None:
        at_least = self.counted(question)

        def work_out() -> bytes:
            if before is not None:
                self.insert(question.tenant, [before])
            found = self.counted(question)
            if after is not None:
                self.insert(question.tenant, [after])
            return b"%d" % found

        found = int(self.answers.of(question, question, work_out, never))
        assert at_least <= found <= self.counted(question)

    @rule(question=questions)
    def repeat(self, question: Scope) -> None:
        found = self.answers.of(question, question, lambda: b"%d" % self.counted(question), never)
        assert int(found) == self.counted(question)

    @rule(tenant=TENANTS, hours=st.lists(HOURS, min_size=1, max_size=3))
    def insert(self, tenant: Tenant, hours: list[int]) -> None:
        self.rows += [(tenant, hour * HOUR) for hour in hours]
        self.answers.added([row(tenant, hour * HOUR) for hour in hours])

    @rule(tenant=TENANTS, before=HOURS)
    def prune(self, tenant: Tenant, before: int) -> None:
        self.rows = [each for each in self.rows if each[0] != tenant or each[1] >= before * HOUR]
        self.answers.changed(tenant)

    @rule(which=st.integers(0, 100))
    def erase(self, which: int) -> None:
        if self.rows:
            del self.rows[which % len(self.rows)]
        self.answers.forget()

    @rule(question=consumes(questions))
    def give_up(self, question: Scope) -> None:
        self.repeat(question)

    def counted(self, scope: Scope) -> int:
        return sum(
            tenant == scope.tenant
            and (scope.from_ms is None or at_ms >= scope.from_ms)
            and (scope.to_ms is None or at_ms <= scope.to_ms)
            for tenant, at_ms in self.rows
        )


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=150, stateful_step_count=30, deadline=None, database=None)
