"""How a store is compared with a brute force over a list: by drawn examples, with a count of what they have covered."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from hypothesis import strategies as st

from headrace.store.clickhouse import ClickHouseStore
from tests.queries.given import Inserted, histories, inserted, merges, people

_MANY = os.environ.get("QUERY_EXAMPLES")
_SHRINK = "QUERY_SHRINK" in os.environ  # takes minutes; what failed is printed in full either way
_LEAST = 3  # times that each thing to be covered has to come up, or it would be covered in name only
Draw = Callable[[st.SearchStrategy[Any]], Any]
Ask = Callable[[Draw, Inserted, dict[str, str], Callable[..., list[str]]], None]
"""Asks of what was inserted, with these ids merged, and with what gives all ids of one."""


def examples(usual: int) -> int:
    return int(_MANY or usual)


def drawn(usual: int) -> settings:
    """So many examples, the same each time; with QUERY_EXAMPLES in the environment that many, and others each time."""
    return settings(
        max_examples=examples(usual),
        deadline=None,
        database=None,
        derandomize=not _MANY,
        phases=[Phase.generate, *([Phase.shrink] if _SHRINK else [])],
        suppress_health_check=list(HealthCheck),
    )


def in_rounds(test: Callable[[], None], rounds: int) -> None:
    """Hypothesis repeats much of an example in those after it, so few long runs cover less than many short ones."""
    for number in range(1 if _MANY else rounds):
        (test if _MANY else seed(f"round {number}")(test))()


def compare(store: ClickHouseStore, name: str, usual: int, ask: Ask) -> None:
    """Ask of each of so many histories, inserted under a tenant of its own. Each name has histories of its own."""

    def once(history: list[dict[str, Any]], merged: dict[str, str], data: st.DataObject) -> None:
        had = inserted(store, history)
        note(f"{merged}")
        with people(store, merged) as ids_of:
            ask(data.draw, had, merged, ids_of)

    each = drawn(usual)(given(history=histories(), merged=merges, data=st.data())(once))
    (each if _MANY else seed(name)(each))()


def assert_covered(covered: Counter[str], wanted: Iterable[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Each of these has come up often enough. Prints what came up least."""
    with capsys.disabled():
        print(f"\nleast covered: {covered.most_common()[:-9:-1]}")
    seldom = {each: covered[each] for each in wanted if covered[each] < _LEAST}
    assert not seldom, f"came up too seldom: {seldom}"


def rarely(some: st.SearchStrategy[Any], usual: Any = None) -> st.SearchStrategy[Any]:
    return st.integers(0, 4).flatmap(lambda turn: st.just(usual) if turn < 4 else some)
