"""The hub against a brute force: whatever is stored, watched and taken in whatever order, every watcher's counts are exact."""

import threading
from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.entries import Record
from headrace.model.event import STEP, Event, Tenant, encode
from headrace.model.filters import Filters
from headrace.model.live import MAX_NAMES, MAX_ROWS, REST, Refusal, add_counts, matches
from headrace.pipeline.live import LiveHub, Tail, _name_in

SHOP = Tenant("shop", "live")
names = st.one_of(
    st.sampled_from(["a", "ab", "b", 'q"uote', "back\\slash", '","timestamp_ms":', "ü"]),
    st.text(min_size=1, max_size=20),
)


def event(name: str = "a", project: str = "shop", mode: Any = "live", **fields: Any) -> Event:
    return Event(project, mode, fields.pop("source", "flux"), name, 0, **fields)


def record(position: int, each: Event) -> Record:
    return Record(position * STEP, 0, encode(each))


def quiet_hub() -> LiveHub:
    """A hub whose thread does not run: the test takes its steps."""
    return LiveHub(
        render=lambda stored: stored.name.encode(errors="surrogatepass"), want=lambda _: None, last=lambda: 0
    )


def step(hub: LiveHub) -> None:
    while hub._batches:
        hub._step()


@given(names)
def test_the_name_is_found_in_an_encoded_event_without_reading_the_rest(name: str) -> None:
    payload = encode(event(name, properties='{"name":"x","timestamp_ms":1}', source="s"))
    assert _name_in(payload, payload.index(b'"source":"')) == msgspec.json.decode(payload)["name"]


FILTERS = [
    Filters(),
    Filters(name="a"),
    Filters(name_prefix="a"),
    Filters(user_id="u"),
    Filters(people=("u", "v")),
    Filters(source="bricqs"),
    Filters(tags=(("k", "1"),)),
    Filters(name="a", user_id="u"),
]
events = st.builds(
    event,
    name=names,
    project=st.sampled_from(["shop", "shop2"]),
    mode=st.sampled_from(["live", "test"]),
    source=st.sampled_from(["flux", "bricqs"]),
    user_id=st.sampled_from(["", "u", "v", "w"]),
    anonymous_id=st.sampled_from(["", "v"]),
    tags=st.sampled_from([{}, {"k": "1"}, {"k": "2"}]),
    labels=st.sampled_from([{}, {"j": "1"}]),
)
moves = st.lists(
    st.one_of(st.lists(events, min_size=1, max_size=8), st.sampled_from(["take", "step"])), min_size=1, max_size=12
)


@given(st.sampled_from(FILTERS), moves, st.integers(0, 5))
def test_a_watchers_counts_are_those_of_a_list(filters: Filters, moves: list[Any], after: int) -> None:
    hub, told, position = quiet_hub(), Counter[str](), 0
    tail = Tail(SHOP, filters, lambda: None)
    tail.after = after * STEP
    hub.watch(tail)
    every: list[tuple[int, Event]] = []
    shown: list[bytes] = []
    for move in [*moves, "step", "take"]:
        if move == "take":
            taken = tail.take()
            told.update(taken.counts)
            shown += taken.rows
        elif move == "step":
            step(hub)
        else:
            placed = [(position + number + 1, each) for number, each in enumerate(move)]
            position += len(move)
            every += placed
            hub.offer([record(*each) for each in placed])
    wanted = [
        each.name
        for place, each in every
        if place > after and (each.project, each.mode) == ("shop", "live") and matches(each, filters)
    ]
    assert told == Counter(wanted)
    assert [each.decode(errors="surrogatepass") for each in shown] == wanted  # fewer than a message holds


def test_what_nobody_watches_is_not_kept() -> None:
    hub = quiet_hub()
    hub.offer([record(1, event())])
    assert not hub._batches


def test_a_watcher_that_takes_nothing_holds_one_message_however_much_happens() -> None:
    hub, calls = quiet_hub(), list[int]()
    tail = Tail(SHOP, Filters(), lambda: calls.append(1))
    hub.watch(tail)
    for number in range(20):
        hub.offer([record(number * 500 + each + 1, event(f"n{number}-{each}")) for each in range(500)])
        step(hub)
    taken = tail.take()
    assert calls == [1]
    assert len(taken.rows) == MAX_ROWS
    assert taken.rows[-1] == b"n19-499"
    assert len(taken.counts) == MAX_NAMES + 1
    assert sum(taken.counts.values()) == 10_000
    assert taken.counts[REST] == 10_000 - MAX_NAMES


def test_if_too_much_waits_for_the_hub_watchers_are_told_that_they_lost_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.pipeline.live._MOST_BYTES", 500)
    hub = quiet_hub()
    tail = Tail(SHOP, Filters(), lambda: None)
    hub.watch(tail)
    hub.offer([record(1, event())])
    hub.offer([record(2, event(properties="{" + " " * 1000 + "}"))])
    assert tail.take().lost


def test_rows_are_rendered_once_for_all_who_watch_them() -> None:
    rendered: list[str] = []

    def render(stored: Any) -> bytes:
        rendered.append(stored.name)
        return b"{}"

    hub = LiveHub(render=render, want=lambda _: None, last=lambda: 0)
    for filters in (Filters(), Filters(), Filters(name="a")):
        hub.watch(Tail(SHOP, filters, lambda: None))
    hub.offer([record(1, event("a")), record(2, event("b")), record(3, event("c", project="other"))])
    step(hub)
    assert sorted(rendered) == ["a", "b"]


def test_while_somebody_watches_the_worker_is_asked_for_what_the_log_has() -> None:
    wanted, asked = list[int](), threading.Event()

    def want(position: int) -> None:
        wanted.append(position)
        asked.set()

    hub = LiveHub(render=lambda _: b"", want=want, last=lambda: 7)
    hub.loop.start()
    try:
        hub.watch(Tail(SHOP, Filters(), lambda: None))
        assert asked.wait(30)
    finally:
        hub.loop.stop()
    assert wanted == [7]


def test_counts_beyond_the_first_names_are_one() -> None:
    counts = {str(number): 1 for number in range(MAX_NAMES)}
    add_counts(counts, {"0": 2, "x": 3, "y": 4})
    assert (counts["0"], counts[REST], len(counts)) == (3, 7, MAX_NAMES + 1)


def test_a_refusal_is_told_to_its_own_project_and_one_of_nobody_to_operators_alone() -> None:
    hub = quiet_hub()
    own, other, operator = (Tail(each, Filters(), lambda: None) for each in (SHOP, Tenant("shop", "test"), None))
    operator.hears_strangers = True
    for tail in (own, other, operator):
        hub.watch(tail)
    refusals = [Refusal(1, "POST", "/", 400, "bad", text, "", "") for text in ("of the shop", "of nobody")]
    hub.refused(SHOP, refusals[0])
    hub.refused(None, refusals[1])
    assert [tail.take().refusals for tail in (own, other, operator)] == [refusals[:1], [], refusals[1:]]
    assert own.take().refusals == [], "each is told once"


def test_what_waits_is_let_go_when_the_last_watcher_leaves() -> None:
    hub = quiet_hub()
    first, second = (Tail(SHOP, Filters(), lambda: None) for _ in range(2))
    hub.watch(first)
    hub.watch(second)
    hub.offer([record(1, event("a"))])
    hub.unwatch(first)
    step(hub)
    assert (first.take().counts, second.take().counts) == ({}, {"a": 1})
    hub.offer([record(2, event("b"))])
    hub.unwatch(second)
    hub.watch(first)
    hub.offer([record(3, event("c"))])
    step(hub)
    assert first.take().counts == {"c": 1}


def test_a_tail_says_how_far_it_is_even_if_nothing_of_it_matched() -> None:
    hub = quiet_hub()
    tail = Tail(SHOP, Filters(name="a"), lambda: None)
    hub.watch(tail)
    hub.offer([record(1, event("a")), record(2, event("b"))])
    hub.offer([record(3, event("b"))])
    step(hub)
    told = tail.take()
    assert (told.position, told.counts, told.lost) == (3 * STEP, {"a": 1}, False)
