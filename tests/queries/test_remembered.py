"""Answers that are remembered equal a brute force, whatever is stored, erased, pruned, merged and parted between repeats."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from headrace.model.conditions import Condition, Field
from headrace.model.event import Event, StoredEvent, Tenant
from headrace.model.event_queries import EventQuery
from headrace.model.filters import CatalogPage, Dimension, Filters, Page
from headrace.model.funnels import FunnelQuery, PathsQuery, RetentionQuery, Step
from headrace.model.measures import Question, point
from headrace.store.answers import Answers
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.remembering import RememberingReader
from tests.engine import dsn, fresh_tenant, records_of
from tests.fakes import MemoryStore
from tests.queries import brute

HOUR, DAY = 3_600_000, 86_400_000
MONDAY = 1_736_726_400_000  # 2025-01-13
TIMES = tuple(MONDAY + day * DAY + hour * HOUR for day in (0, 1, 2) for hour in (0, 9, 23))
IDS = ("u", "v", "a")
NAMES = ("visit", "buy")
_RARELY = st.sampled_from((True, False, False, False))  # it rewrites the table, which takes a tenth of a second
Asked: TypeAlias = Callable[["Machine"], tuple[Any, Any]]
"""Gives what the store answers, and what a brute force says."""

_events = st.fixed_dictionaries(
    {
        "name": st.sampled_from(NAMES),
        "timestamp_ms": st.sampled_from(TIMES),
        "user_id": st.sampled_from((*IDS[:2], "")),
        "anonymous_id": st.sampled_from((IDS[2], "")),
        "value": st.sampled_from((None, 1.0, 2.5)),
        "tags": st.sampled_from(({}, {"k": "x"}, {"k": "y"})),
    }
)


def _is(name: str) -> Step:
    return [Condition(Field("column", ("name",)), "=", [name])]


def _questions() -> st.SearchStrategy[Asked]:
    def made(first: int | None, last: int | None, plus: int, kind: int, person: str | None) -> Asked:
        return _KINDS[kind](Filters(from_ms=first, to_ms=None if last is None else last + plus), person)

    ends = st.none() | st.sampled_from(TIMES)
    kinds = st.sampled_from(tuple(range(12)))
    return st.builds(made, ends, ends, st.sampled_from((0, HOUR - 1, DAY - 1)), kinds, st.none() | st.sampled_from(IDS))


class Machine(RuleBasedStateMachine):
    store: ClickHouseStore

    def __init__(self) -> None:
        super().__init__()
        assert self.store.answers is not None
        self.store.answers.forget()
        self.reader = RememberingReader(self.store)
        self.tenant = fresh_tenant()
        self.other = Tenant(self.tenant.project, "test")
        self.model = MemoryStore()
        self.merged: dict[str, str] = {}
        self.last = 0
        self.questions: list[Asked] = []
        self.store.know_people(self.ids_of)
        self.store.know_merged(self.pages)

    def ids_of(self, _tenant: Tenant, id_: str) -> Sequence[str]:
        person = self.merged.get(id_, id_)
        found = [person, *(each for each, goes_by in sorted(self.merged.items()) if goes_by == person)]
        return found if len(found) > 1 else []

    def pages(self, _tenant: Tenant) -> Iterable[Sequence[tuple[str, str]]]:
        return [sorted(self.merged.items())] if self.merged else []

    def events(self) -> list[StoredEvent]:
        return self.model._matching(self.tenant, Filters())

    @rule(events=st.lists(_events, min_size=1, max_size=3), mine=st.sampled_from((True, True, False)))
    def store_some(self, events: list[dict[str, Any]], mine: bool) -> None:
        tenant = self.tenant if mine else self.other
        self._insert([Event(tenant.project, tenant.mode, "flux", **fields) for fields in events])

    @rule(at_ms=st.sampled_from(TIMES), value=st.sampled_from((1.0, 2.0)))
    def store_a_point(self, at_ms: int, value: float) -> None:
        self._insert([point(self.tenant, "flux", "load", "gauge", at_ms, value, {}, "")])

    def _insert(self, events: list[Event]) -> None:
        records = records_of(events)
        self.last = records[-1].position
        self.store.insert(records)
        self.model.insert(records)

    @rule(which=st.integers(0, 100), really=_RARELY)
    def erase(self, which: int, really: bool) -> None:
        if really and (found := self.events()):
            ids = [found[which % len(found)].id]
            self.store.erase(ids)
            self.model.erase(ids)

    @rule(before_ms=st.sampled_from(TIMES), really=_RARELY)
    def prune(self, before_ms: int, really: bool) -> None:
        for each in (self.store, self.model) if really else ():
            each.prune(self.tenant, before_ms, self.last)

    @rule(one=st.sampled_from(IDS), goes_by=st.sampled_from((None, *IDS)))
    def merge_or_part(self, one: str, goes_by: str | None) -> None:
        self.merged.pop(one, None)
        if goes_by not in (None, one) and goes_by not in self.merged and one not in self.merged.values():
            self.merged[one] = goes_by  # pyright: ignore[reportArgumentType]

    @initialize(questions=st.lists(_questions(), min_size=3, max_size=3))
    def think_of(self, questions: list[Asked]) -> None:
        self.questions = questions

    @rule(which=st.integers(0, 2), times=st.integers(1, 3))
    def ask(self, which: int, times: int) -> None:
        for _ in range(times):
            found, expected = self.questions[which](self)
            assert found == expected

    @invariant()
    def every_question_is_answered_right(self) -> None:
        """After each step, so that whatever the next one changes has been remembered before."""
        for question in self.questions:
            found, expected = question(self)
            assert found == expected

    def measured(self, query: EventQuery) -> tuple[Any, Any]:
        def all_ids(each: Condition) -> Condition:
            ids = [id_ for value in each.values for id_ in (self.ids_of(self.tenant, str(value)) or [str(value)])]
            return msgspec.structs.replace(each, values=ids)

        filters = msgspec.structs.replace(
            query.filters, conditions=[all_ids(each) for each in query.filters.conditions]
        )
        resolved = msgspec.structs.replace(query, filters=filters)
        return self.reader.measure_events(self.tenant, query), brute.measure(self.events(), resolved, self.merged)


def _by(filters: Filters, person: str | None) -> Filters:
    condition = Condition(Field("person"), "=", [person or ""])
    return filters if person is None else msgspec.structs.replace(filters, conditions=[condition])


def _persons(filters: Filters, person: str | None, machine: Machine) -> tuple[Filters, Filters]:
    """As it is asked, and as the model needs it."""
    ids = machine.ids_of(machine.tenant, person) if person else []
    asked = msgspec.structs.replace(filters, person=person)
    return asked, msgspec.structs.replace(filters, people=ids) if ids else asked


def _count(filters: Filters, person: str | None, **options: Any) -> Asked:
    def ask(machine: Machine) -> tuple[Any, Any]:
        asked, resolved = _persons(filters, person, machine)
        found = machine.reader.count(machine.tenant, asked, **options)
        return found, machine.model.count(machine.tenant, resolved, **options)

    return ask


def _list(filters: Filters, person: str | None) -> Asked:
    def ask(machine: Machine) -> tuple[Any, Any]:
        asked, resolved = _persons(filters, person, machine)
        page = Page(limit=3)
        return machine.reader.events(machine.tenant, asked, page), machine.model.events(machine.tenant, resolved, page)

    return ask


def _stats(filters: Filters, _person: str | None) -> Asked:
    asked = filters, Dimension("value")
    return lambda machine: (
        machine.reader.stats(machine.tenant, *asked),
        machine.model.stats(machine.tenant, *asked),
    )


def _measure(filters: Filters, person: str | None, **options: Any) -> Asked:
    query = EventQuery(filters=_by(filters, person), **options)
    return lambda machine: machine.measured(query)


def _funnel(filters: Filters, _person: str | None) -> Asked:
    query = FunnelQuery(filters=filters, steps=[_is("visit"), _is("buy")], window_ms=2 * DAY)
    return lambda machine: (
        machine.reader.funnel(machine.tenant, query),
        brute.funnel(machine.events(), query, machine.merged),
    )


def _retention(filters: Filters, _person: str | None) -> Asked:
    query = RetentionQuery(filters=filters, first=_is("visit"), returning=_is("buy"), period="day", periods=3)
    return lambda machine: (
        machine.reader.retention(machine.tenant, query),
        brute.retention(machine.events(), query, machine.merged),
    )


def _paths(filters: Filters, _person: str | None) -> Asked:
    query = PathsQuery(filters=filters, start=_is("visit"), direction="after", steps=2, window_ms=2 * DAY)
    return lambda machine: (
        machine.reader.paths(machine.tenant, query),
        brute.paths(machine.events(), query, machine.merged),
    )


def _metric(filters: Filters, _person: str | None) -> Asked:
    question = Question("load", "gauge", filters, ("count", "sum"))
    return lambda machine: (
        machine.reader.measure(machine.tenant, question),
        machine.model.measure(machine.tenant, question),
    )


def _names(_filters: Filters, _person: str | None) -> Asked:
    def ask(machine: Machine) -> tuple[Any, Any]:
        asked: list[Any] = []
        for each in (machine.reader, machine.model):
            seen = sorted(each.seen_by_id(machine.tenant, IDS), key=lambda found: found.value)
            names = [(entry.name, entry.count) for entry in each.catalog(machine.tenant, CatalogPage(limit=9)).entries]
            asked.append((each.observed(machine.tenant, "name", 9), names, seen, each.metrics(machine.tenant)))
        return asked[0], asked[1]

    return ask


_KINDS: tuple[Callable[[Filters, str | None], Asked], ...] = (
    _count,
    lambda filters, person: _count(filters, person, interval="1h"),
    lambda filters, person: _count(filters, person, group_by=Dimension("tag", "k")),
    _list,
    _stats,
    lambda filters, person: _measure(filters, person, measure="users"),
    lambda filters, person: _measure(filters, person, measure="count", breakdown=(Field("person"),), interval="1d"),
    _funnel,
    _retention,
    _paths,
    _metric,
    _names,
)


@pytest.mark.timeout(300)
def test_what_is_remembered_equals_a_brute_force_whatever_changes_between_repeats() -> None:
    store = ClickHouseStore(dsn(), remember_bytes=1 << 20)
    answers = store.answers
    assert isinstance(answers, Answers)
    try:
        Machine.store = store
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=8,
                stateful_step_count=15,
                deadline=None,
                derandomize=True,
                database=None,
                phases=(Phase.generate, Phase.shrink),
                suppress_health_check=list(HealthCheck),
            ),
        )
        assert answers.hits > 50, "or it has shown nothing"
    finally:
        store.close()
