"""Which tags and properties get a column of their own, and what the keeper does next. The real store's part: tests/crash."""

from collections.abc import Callable, Sequence

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.own_columns import COSTS, Budget, ColumnKey, CountedBy, OwnColumn, Use, unused, wanted
from headrace.ports.store import StoreFailed
from headrace.upkeep.own_columns import ColumnKeeper

BUDGET = Budget(columns=4.0, bytes=1000, after_s=10.0, keep_ms=1000)
PLAN, PRICE, NOTE = (
    ColumnKey("tag", ("plan",)),
    ColumnKey("number", ("price",)),
    ColumnKey("property", ("note", "text")),
)


def use(key: ColumnKey, seconds: float = 20.0, uses: int = 10, project: str = "p", last_ms: int = 0) -> Use:
    return Use(project, key, uses, seconds, last_ms)


def column(key: ColumnKey, project: str = "p", *, hinted: bool = False, since_ms: int = 1, size: int = 0) -> OwnColumn:
    return OwnColumn(key, f"own_{key.path[0]}", project, since_ms, hinted, size, ())


def test_the_costliest_key_comes_first_and_its_column_belongs_to_the_project_that_asked_most():
    uses = [use(PLAN, 11), use(PRICE, 8), use(PRICE, 9, project="q")]
    assert wanted(uses, [], BUDGET) == [(PRICE, "q"), (PLAN, "p")]


def test_what_is_asked_for_seldom_or_answered_quickly_gets_none():
    assert wanted([use(PLAN, 9.9)], [], BUDGET) == []
    assert wanted([use(PLAN, 50, uses=2)], [], BUDGET) == []
    assert wanted([use(PLAN, 10, uses=501)], [], BUDGET) == []
    assert wanted([use(PLAN)], [column(PLAN)], BUDGET) == []


def test_a_tag_that_the_settings_name_takes_nothing_of_the_budget():
    assert wanted([use(PRICE)], [column(PLAN, hinted=True)], msgspec.structs.replace(BUDGET, columns=1)) == [
        (PRICE, "p")
    ]


@given(
    st.lists(
        st.builds(
            use,
            st.builds(ColumnKey, st.sampled_from(tuple(COSTS)), st.sampled_from([(each,) for each in "abcdefgh"])),
            st.floats(10, 99),
            project=st.sampled_from("pqr"),
        ),
        max_size=40,
    )
)
def test_columns_never_cost_more_than_the_budget_nor_one_project_more_than_three_quarters_of_it(
    uses: list[Use],
) -> None:
    columns: list[OwnColumn] = []
    while found := wanted(uses, columns, BUDGET):
        columns.append(column(*found[0]))
    cost = {project: sum(COSTS[each.key.kind] for each in columns if each.project == project) for project in "pqr"}
    assert sum(cost.values()) <= BUDGET.columns
    assert max(cost.values()) <= BUDGET.columns * 3 / 4
    assert len({each.key for each in columns}) == len(columns)


def test_a_column_goes_once_nobody_has_asked_for_it_in_long_enough_and_not_sooner():
    old, fresh, asked, hinted = (
        column(PLAN, since_ms=1),
        column(PRICE, since_ms=1500),
        column(NOTE, since_ms=1),
        column(ColumnKey("tag", ("h",)), hinted=True),
    )
    assert unused([old, fresh, asked, hinted], {NOTE: 1500}, 2000, BUDGET) == [old]
    assert unused([old, fresh, asked, hinted], {NOTE: 1500}, 1001, BUDGET) == []


class FakeStore:
    """A store of two partitions whose columns are lists of the partitions that have them."""

    def __init__(self, uses: list[Use], size: int = 1, free: int = 10**9) -> None:
        self.told: list[str] = []
        self.given = uses
        self.has: dict[str, list[str]] = {}
        self.made: dict[str, OwnColumn] = {}
        self.waiting: list[str] = []
        self.size, self.free = size, free
        self.counted: dict[str, dict[CountedBy, list[str]]] = {}
        self.groups_by: dict[CountedBy, int] = {"time": 4, "name": 4}
        self.looked = 0
        self.events = 15

    def keep_uses(self) -> bool:
        return True

    def uses(self, since_ms: int, /) -> list[Use]:
        return [each for each in self.given if each.last_ms >= since_ms]

    def own_columns(self) -> list[OwnColumn]:
        return [
            msgspec.structs.replace(
                each,
                filling=[one for one in ("1", "2") if one not in self.has[name]],
                counting={
                    by: [one for one in ("1", "2") if one not in has] for by, has in self.counted.get(name, {}).items()
                },
            )
            for name, each in sorted(self.made.items())
        ]

    def estimate(self, key: ColumnKey, /) -> tuple[int, int]:
        return self.size, self.free

    def add(self, key: ColumnKey, project: str, now_ms: int, /) -> None:
        self.told.append(f"add {key.path[0]}")
        made = column(key, project, since_ms=now_ms, size=self.size)
        self.made[made.name], self.has[made.name] = made, []

    def adopt(self, column: OwnColumn, now_ms: int, /) -> None:
        self.told.append(f"adopt {column.name}")
        self.made[column.name] = msgspec.structs.replace(column, since_ms=now_ms)

    def fill(self, columns: Sequence[OwnColumn], partition: str, /) -> None:
        self.told.append(f"fill {partition} {' '.join(each.name for each in columns)}")
        for each in columns:
            self.has[each.name].append(partition)

    def groups(self, column: OwnColumn, by: CountedBy, /) -> tuple[int, int]:
        self.looked += 1
        return self.groups_by[by], self.events

    def count(self, column: OwnColumn, by: CountedBy, /) -> None:
        self.told.append(f"count {column.name} by {by}")
        self.counted.setdefault(column.name, {})[by] = []

    def fill_counts(self, columns: Sequence[OwnColumn], partition: str, /) -> None:
        self.told.append(f"fill counts {partition} {' '.join(each.name for each in columns)}")
        for each in columns:
            for has in self.counted[each.name].values():
                has.append(partition)

    def filling(self) -> list[str]:
        return self.waiting

    def retire(self, column: OwnColumn, /) -> None:
        self.told.append(f"retire {column.name}")

    def drop(self, column: OwnColumn, /) -> None:
        self.told.append(f"drop {column.name}")
        del self.made[column.name]


def keeper(
    store: FakeStore, *, now_ms: Callable[[], int] = lambda: 2000, is_pressed: Callable[[], bool] = lambda: False
) -> ColumnKeeper:
    return ColumnKeeper(store, BUDGET, query_timeout_s=0.001, clock_ms=now_ms, is_pressed=is_pressed)


def all_of(found: ColumnKeeper) -> None:
    while found.step():
        pass


def test_a_column_is_declared_then_filled_a_partition_at_a_time():
    store = FakeStore([use(PLAN, last_ms=2000)])
    all_of(found := keeper(store))
    assert store.told == ["add plan", "fill 1 own_plan", "fill 2 own_plan"]
    assert (found.given, [each.is_complete for each in found.columns]) == (1, [True])


def test_a_complete_column_whose_values_repeat_gets_counts_a_partition_at_a_time_and_a_number_none():
    store = FakeStore([])
    for key in (PLAN, PRICE, NOTE):
        store.add(key, "p", 2000)
        store.has[f"own_{key.path[0]}"] = ["1", "2"]
    store.groups_by = {"time": 1, "name": 3}
    all_of(found := keeper(store))
    assert store.told[3:] == [
        *("count own_note by time", "count own_note by name", "fill counts 1 own_note", "fill counts 2 own_note"),
        *("count own_plan by time", "count own_plan by name", "fill counts 1 own_plan", "fill counts 2 own_plan"),
    ]
    assert [(each.path[0], each.counts) for each in found.listed()] == [
        *(("price", "none"), ("note", "complete"), ("plan", "complete")),
    ]


def test_a_column_is_complete_before_it_is_counted():
    store = FakeStore([use(PLAN, last_ms=2000)])
    store.groups_by["time"] = 3
    all_of(keeper(store))
    assert store.told == [
        *("add plan", "fill 1 own_plan", "fill 2 own_plan"),
        *("count own_plan by time", "fill counts 1 own_plan", "fill counts 2 own_plan"),
    ], "and by name not, with fewer than four events to a group"


def test_a_column_whose_values_hardly_repeat_is_looked_at_again_a_day_later():
    store = FakeStore([])
    store.add(PLAN, "", 2000)
    store.has["own_plan"] = ["1", "2"]
    now_ms = 2000
    found = keeper(store, now_ms=lambda: now_ms)
    for _ in range(3):
        all_of(found)
        found.listed()  # has it look again
    assert store.looked == 2
    now_ms += 86_400_000
    store.made["own_plan"] = msgspec.structs.replace(store.made["own_plan"], since_ms=now_ms)
    store.groups_by["time"] = 3
    found.listed()
    all_of(found)
    assert store.looked == 4
    assert store.told[1:] == ["count own_plan by time", "fill counts 1 own_plan", "fill counts 2 own_plan"]


def test_a_column_of_an_empty_store_is_counted_as_soon_as_there_are_events_that_repeat():
    store = FakeStore([])
    store.add(PLAN, "", 2000)
    store.has["own_plan"] = ["1", "2"]
    store.events = store.groups_by["time"] = store.groups_by["name"] = 0
    all_of(found := keeper(store))
    assert store.told[1:] == []
    store.events, store.groups_by["time"] = 15, 1
    found.listed()
    all_of(found)
    assert store.told[1:] == ["count own_plan by time", "fill counts 1 own_plan", "fill counts 2 own_plan"]


def test_nothing_is_counted_beyond_the_bytes_of_the_budget():
    store = FakeStore([], size=1001)
    store.add(PLAN, "p", 2000)
    store.has["own_plan"] = ["1", "2"]
    store.groups_by["time"] = 1
    all_of(keeper(store))
    assert store.told == ["add plan"]


def test_columns_that_lack_the_same_partition_are_filled_together():
    store = FakeStore([])
    store.add(PLAN, "p", 2000)
    store.add(PRICE, "p", 2000)
    all_of(keeper(store))
    assert store.told[2:] == ["fill 1 own_plan own_price", "fill 2 own_plan own_price"]


def test_a_column_is_retired_before_it_is_dropped():
    store = FakeStore([])
    store.add(PLAN, "p", 1)
    store.has["own_plan"] = ["1", "2"]
    all_of(found := keeper(store))
    assert store.told[1:] == ["retire own_plan", "drop own_plan"]
    assert found.dropped == 1


def test_a_column_that_the_settings_no_longer_name_is_kept_as_long_as_a_new_one():
    store = FakeStore([])
    store.add(PLAN, "", 0)
    store.has["own_plan"] = ["1", "2"]
    all_of(keeper(store))
    assert store.told[1:] == ["adopt own_plan"]


@pytest.mark.parametrize(("size", "free"), [(1001, 10**9), (10, 39)])
def test_a_column_that_would_outgrow_the_budget_or_the_disk_is_not_given(size: int, free: int) -> None:
    store = FakeStore([use(PLAN, last_ms=2000)], size, free)
    all_of(keeper(store))
    assert store.told == []


def test_nothing_else_begins_while_a_column_is_being_filled_and_a_failure_is_told():
    store = FakeStore([use(PLAN, last_ms=2000)])
    store.waiting = ["the disk is full"]
    with pytest.raises(StoreFailed, match="the disk is full"):
        keeper(store).step()
    assert store.told == []


def test_a_column_waits_while_events_or_queries_do_and_not_for_ever():
    store = FakeStore([use(PLAN, last_ms=2000)])
    pressed = True
    found = keeper(store, is_pressed=lambda: pressed)
    assert not any(found.step() for _ in range(10))
    assert store.told == []
    assert found.step()
    assert store.told == ["add plan"]
    assert not any(found.step() for _ in range(5))
    pressed = False
    all_of(found)
    assert store.told == ["add plan", "fill 1 own_plan", "fill 2 own_plan"]


def test_each_column_is_listed_with_what_all_projects_asked_of_it_lately_and_the_most_asked_for_first():
    store = FakeStore([use(PLAN, 3, 2, last_ms=1500), use(PLAN, 4, 5, "q", 1200), use(PRICE, 9, 8, last_ms=999)])
    for key in (NOTE, PLAN, PRICE):
        store.add(key, "p", 900)
    listed = keeper(store).listed()
    assert [(each.path[0], each.uses, each.seconds, each.last_used_ms) for each in listed] == [
        ("plan", 7, 7.0, 1500),
        ("price", 0, 0.0, None),
        ("note", 0, 0.0, None),
    ], "what was asked for longer ago than columns are kept does not count"


def test_a_column_costs_by_its_kind_as_much_of_the_budget_as_the_settings_say():
    assert COSTS == {"number": 0.5, "tag": 1.0, "property": 1.5}
    assert BUDGET.of_one_project == 3.0
    properties = [use(ColumnKey("property", (name,))) for name in "abc"]
    held = [column(each.key) for each in properties[:2]]
    assert wanted(properties, held[:1], BUDGET)[:1] == [(properties[1].key, "p")]
    assert wanted(properties, held, BUDGET) == [], "of one project, a quarter is left for others"
    assert wanted([use(properties[2].key, project="q")], held, BUDGET) == [], "and 1 is not room for 1.5"
