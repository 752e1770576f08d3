"""What keys are used for: counted in memory, taken once a minute, and bounded however clients call themselves."""

import asyncio
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from headrace.assembly.capabilities.keys import KeyAdmin
from headrace.assembly.key_uses import OTHERS, TOGETHER_MS, KeyUses, together
from headrace.model.event import Tenant
from headrace.model.keys import OPERATORS_KEY, Key, KeyUse
from headrace.upkeep.bookkeeping import Bookkeeping

NOW_MS = 1_700_000_000_000
FROM_MS = NOW_MS - NOW_MS % TOGETHER_MS
REQUESTS = st.tuples(
    st.sampled_from(["a", "b"]),
    st.sampled_from(["flux", "native"]),
    st.sampled_from(["GET", "POST"]),
    st.sampled_from(["/x", "/y/{id}"]),
    st.sampled_from(["curl/8", "curl/8 (linux)", "", "Mozilla/5.0 (X11)"]),
)


class Clock:
    now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


@given(st.lists(st.one_of(REQUESTS, st.none()), max_size=40))
def test_every_request_is_counted_once_whenever_the_counts_are_taken(requests: list[tuple[str, ...] | None]) -> None:
    uses, taken = KeyUses(Clock()), []
    for each in requests:
        if each is None:
            taken += uses.take()
        else:
            uses.note(*each)
    pending = [each for key in ("a", "b") for each in uses.pending(key)]
    assert sorted(pending, key=repr) == sorted(uses.take(), key=repr)
    found = Counter[tuple[str, ...]]()
    for each in [*taken, *pending]:
        found[each.key_id, each.kind, each.route, each.client] += each.requests
        assert (each.from_ms, each.last_ms) == (FROM_MS, NOW_MS)
    assert found == Counter(
        (key, kind, f"{method} {path}", agent.split(" ")[0])
        for key, kind, method, path, agent in filter(None, requests)
    )
    assert uses.pending("a") == []


def test_a_client_that_changes_its_name_with_each_request_takes_no_more_room() -> None:
    clock = Clock()
    uses = KeyUses(clock)
    for number in range(200):
        uses.note("a", "flux", "POST", "/x", f"n{number}")
        uses.note("b", "flux", "POST", "/x", "one")
    found = {(each.key_id, each.client): each.requests for each in uses.take()}
    assert found.pop(("b", "one")) == 200
    assert found == {("a", f"n{number}"): 1 for number in range(20)} | {("a", OTHERS): 180}
    uses.note("a", "flux", "POST", "/x", "n999")
    assert [each.client for each in uses.take()] == [OTHERS], "in the same ten minutes"
    clock.now_ms += TOGETHER_MS
    uses.take()
    uses.note("a", "flux", "POST", "/x", "n999")
    assert [each.client for each in uses.take()] == ["n999"]


def test_names_are_short_and_hold_nothing_that_cannot_be_seen() -> None:
    uses = KeyUses(Clock())
    uses.note("a", "flux", "POST", "/x", "x" * 500)
    uses.note("a", "flux", "POST", "/x", "e\x00vil\u202e")
    assert sorted(each.client for each in uses.take()) == ["evil", "x" * 60]


def test_the_operators_key_which_nobody_revokes_is_not_counted() -> None:
    uses = KeyUses(Clock())
    uses.note(OPERATORS_KEY, "flux", "POST", "/x", "curl/8")
    assert uses.take() == []


def test_what_is_on_its_way_to_control_is_missed_by_no_reader() -> None:
    """Otherwise a look at the wrong moment, once a minute, finds it neither here nor there."""
    uses, kept = KeyUses(Clock()), list[KeyUse]()
    tenant = Tenant("p", "live")
    key = Key(id="key_a", tenant=tenant, style="flux", scopes=frozenset(), prefix="", created_at_ms=0)

    class Control:
        def get(self, _tenant: Tenant, _key_id: str) -> Key:
            return key

        def uses(self, _key_id: str, _since_ms: int) -> list[KeyUse]:
            assert uses.writing.locked()
            return list(kept)

        def count_uses(self, counted: list[KeyUse], _before_ms: int) -> None:
            assert uses.writing.locked()
            kept.extend(counted)

        def prune(self, _before_ms: int, _most: int) -> int:
            return 0

    admin = KeyAdmin(None, Control(), uses)  # type: ignore[arg-type]
    control = Control()
    bookkeeping = Bookkeeping(
        *(control, control),  # type: ignore[arg-type]
        take_used=dict,
        keep_ms=1,
        clock_ms=Clock(),
        take_uses=uses.take,
        writing_uses=uses.writing,
    )
    for number in range(3):
        uses.note("key_a", "flux", "POST", "/x", "curl/8")
        assert [each.requests for each in asyncio.run(admin.uses(tenant, "key_a"))[1]] == [number + 1]
        bookkeeping.step()


def test_uses_that_differ_only_in_time_are_one_the_most_requests_first() -> None:
    one = KeyUse("a", 5, "flux", "POST /x", "curl/8", 3, 7)
    later = KeyUse("a", 9, "flux", "POST /x", "curl/8", 4, 11)
    other = KeyUse("a", 5, "flux", "POST /y", "curl/8", 6, 7)
    assert together([other, later, one]) == [KeyUse("a", 5, "flux", "POST /x", "curl/8", 7, 11), other]
