"""Tasks: what may run beside what, and what is known of them afterwards."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from headrace.model.errors import Conflict, NotFound, Unavailable
from headrace.model.event import Tenant
from headrace.upkeep.tasks import MOST_KEPT, Tasks
from tests.waiting import until

SHOP, SHOP_TEST = Tenant("shop", "live"), Tenant("shop", "test")


@pytest.fixture
def tasks() -> Iterator[Tasks]:
    made = Tasks(lambda: 7)
    yield made
    made.stop()


def ended(tasks: Tasks, task_id: str) -> Any:
    return until(lambda: tasks.get(task_id), lambda task: task.status != "running")


class Held:
    """Work that ends once it is let go of."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()

    def __call__(self) -> dict[str, object]:
        self.begun.set()
        assert self.let_go.wait(60)
        return {"found": 1}


def test_a_task_runs_once_it_was_answered_and_is_known_with_its_result(tasks: Tasks) -> None:
    held = Held()
    task = tasks.begin("check", None, held)
    assert (task.status, task.started_at_ms, task.finished_at_ms, task.result) == ("running", 7, None, None)
    assert tasks.get(task.id) == task
    held.let_go.set()
    done = ended(tasks, task.id)
    assert (done.status, done.finished_at_ms, done.result, done.problem) == ("done", 7, {"found": 1}, "")


def test_one_of_a_kind_and_tenant_runs_and_a_second_is_refused_until_it_has_ended(tasks: Tasks) -> None:
    held = Held()
    first = tasks.begin("prune", SHOP, held)
    with pytest.raises(Conflict, match=first.id):
        tasks.begin("prune", SHOP, dict)
    assert ended(tasks, tasks.begin("check", None, dict).id).status == "done", "beside it"
    held.let_go.set()
    ended(tasks, first.id)
    assert ended(tasks, tasks.begin("prune", SHOP, dict).id).status == "done"


def test_what_other_tenants_start_of_a_kind_waits_for_its_turn(tasks: Tasks) -> None:
    held, order = Held(), list[str]()
    first = tasks.begin("prune", SHOP, lambda: (order.append("first"), held())[1])
    assert held.begun.wait(60)
    second = tasks.begin("prune", SHOP_TEST, lambda: {"now": order.append("second")})
    assert tasks.get(second.id).status == "running"
    assert order == ["first"]
    held.let_go.set()
    assert [ended(tasks, each.id).status for each in (first, second)] == ["done", "done"]
    assert order == ["first", "second"]


def test_what_goes_wrong_is_told_and_only_the_log_has_the_words_of_what_nobody_expected(tasks: Tasks) -> None:
    def fail(error: Exception) -> Any:
        def work() -> dict[str, object]:
            raise error

        return ended(tasks, tasks.begin("check", None, work).id)

    known, unknown = fail(Unavailable("The store failed.")), fail(KeyError("a secret"))
    assert (known.status, known.problem, known.result) == ("failed", "The store failed.", None)
    assert (unknown.status, unknown.problem) == ("failed", "Internal server error; see the server log.")


def test_as_many_are_known_as_may_be_and_the_oldest_that_has_ended_is_forgotten_first(tasks: Tasks) -> None:
    held = Held()
    running = tasks.begin("prune", SHOP, held)
    ids = [ended(tasks, tasks.begin("check", None, dict).id).id for _ in range(MOST_KEPT)]
    with pytest.raises(NotFound, match=ids[0]):
        tasks.get(ids[0])
    assert [tasks.get(each).status for each in (running.id, ids[1], ids[-1])] == ["running", "done", "done"]
    held.let_go.set()


def test_more_than_can_be_known_are_not_started(tasks: Tasks) -> None:
    held = Held()
    for number in range(MOST_KEPT):
        tasks.begin("prune", Tenant(f"p{number}", "live"), held)
    with pytest.raises(Unavailable, match="Too many"):
        tasks.begin("prune", SHOP, held)
    tasks.stop()
    held.let_go.set()


def test_a_server_that_stops_starts_none_that_waits(tasks: Tasks) -> None:
    held, begun = Held(), list[str]()
    tasks.begin("prune", SHOP, held)
    assert held.begun.wait(60)
    tasks.begin("prune", SHOP_TEST, lambda: {"begun": begun.append("second")})
    tasks.stop()
    held.let_go.set()
    for each in threading.enumerate():
        if each.name.startswith("prune"):
            each.join(60)
    assert begun == []
