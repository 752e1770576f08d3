"""What `make soak-guards` takes out is where it says, and what the soak looks at can be wrong. The soak itself is not run here."""

import pytest

from tests.guarantees.removals import ROOT
from tests.scale.guards import GUARDS
from tests.scale.soak import Books, disordered


@pytest.mark.parametrize("name", GUARDS)
def test_a_guard_to_take_out_is_there(name: str) -> None:
    for file, old, _ in GUARDS[name].changes:
        assert (ROOT / "src/headrace" / file).read_text().count(old) == 1, f"{file}: {old}"
    assert GUARDS[name].covered_by in ("", *GUARDS)


def test_what_is_stored_twice_or_in_another_order_is_seen() -> None:
    well = [("a-0", "a"), ("b-0", "b"), ("x1-7", "x1-7"), ("a-1", "a")]
    assert Books(well).stored.total() == 4
    assert Books(well).out_of_order == []
    books = Books([*well, ("b-2", "b"), ("b-1", "b"), ("a-0", "a")])
    assert books.stored["a-0"] == 2
    assert books.out_of_order == ["b: 1 after 2"]


def test_effects_in_another_order_are_seen() -> None:
    assert disordered({1: ["e1", "e2"], 2: ["e3"]}) == []
    assert disordered({1: ["e1", "e2"], 2: ["e3", "e2"]}) == ["out of order: the effects of participant 2"]
