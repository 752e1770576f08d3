"""Where reactions wait for erasures, as those who react, emit and erase tell each other."""

import threading

import pytest

from headrace.model.entries import Kind
from headrace.model.erasure import ErasureStatus, OpenErasure, encode_command
from headrace.model.event import Tenant
from headrace.pipeline.holds import ErasureHolds

TENANT, OTHER = Tenant("p", "live"), Tenant("p", "test")


class Opened:
    """As much of OpenErasures as holds need: which are open, and where their commands are."""

    def __init__(self, *found: OpenErasure) -> None:
        self.found = {each.id: each for each in found}
        self.placed_at: list[tuple[str, int]] = []

    def open(self) -> list[OpenErasure]:
        return list(self.found.values())

    def placed(self, erasure_id: str, position: int, /) -> OpenErasure | None:
        self.placed_at.append((erasure_id, position))
        return self.found.get(erasure_id)


def erasure(
    name: str, position: int | None, status: ErasureStatus = "requested", tenant: Tenant = TENANT
) -> OpenErasure:
    return OpenErasure(name, tenant, status, ["u"], position, [])


def test_a_start_waits_where_the_last_end_did() -> None:
    holds = ErasureHolds(Opened(erasure("a", 50), erasure("b", 30), erasure("c", 10, "detached"), erasure("d", None)))
    assert holds.first(TENANT) == 30
    assert holds.first(OTHER) is None
    assert holds.held() == [TENANT]


def test_reactions_wait_at_the_first_command_and_then_at_the_next_and_then_nowhere() -> None:
    holds = ErasureHolds(Opened(erasure("a", 50), erasure("b", 30)))
    holds.lift(erasure("b", 30))
    assert (holds.first(TENANT), holds.held()) == (50, [TENANT])
    holds.lift(erasure("b", 30))
    assert holds.first(TENANT) == 50, "what is lifted twice lifts nothing else"
    holds.lift(erasure("a", 50))
    assert (holds.first(TENANT), holds.held()) == (None, [])


def test_what_journeys_emit_waits_from_before_the_command_has_a_place_and_reactions_from_then() -> None:
    opened = Opened()
    holds = ErasureHolds(opened)
    opened.found["a"] = erasure("a", 40)
    holds.begin(TENANT, "a")
    assert (holds.held(), holds.first(TENANT)) == ([TENANT], None)
    holds.read(40, encode_command("a", TENANT))
    assert holds.first(TENANT) == 40
    assert opened.placed_at == [("a", 40)]
    holds.begin(TENANT, "a")
    assert holds.first(TENANT) == 40, "a place that is known is not forgotten"


@pytest.mark.parametrize("status", ["detached", None])
def test_a_command_that_is_read_again_after_its_end_holds_nothing_up(status: ErasureStatus | None) -> None:
    told: list[str] = []
    opened = Opened(*([erasure("a", 40, status)] if status else []))
    holds = ErasureHolds(opened, on_placed=lambda: told.append("placed"))
    holds.read(40, encode_command("a", TENANT))
    assert (holds.first(TENANT), holds.held()) == (None, [])
    assert told == ["placed"]


@pytest.mark.parametrize("payload", [b"", b"{", b'{"erasure":1}', b'{"erasure":"a","project":"p","mode":"other"}'])
def test_a_command_that_this_version_cannot_read_holds_nothing_up(payload: bytes) -> None:
    opened = Opened(erasure("a", 40, "detached"))
    holds = ErasureHolds(opened)
    holds.read(40, payload)
    assert (holds.first(TENANT), opened.placed_at) == (None, [])


def test_nothing_is_emitted_while_a_command_is_appended() -> None:
    holds = ErasureHolds(Opened())
    order: list[str] = []

    def emit() -> None:
        with holds.nothing_emitted():
            order.append("emitted")

    other = threading.Thread(target=emit)
    with holds.nothing_emitted():
        other.start()
        assert not holds._emitting.acquire(blocking=False)
        order.append("appended")
    other.join()
    assert order == ["appended", "emitted"]


def test_a_command_names_nobody() -> None:
    assert encode_command("e", TENANT) == b'{"erasure":"e","project":"p","mode":"live"}'
    assert Kind.ERASURE == 1, "the number is on disk"
