"""Every mechanism that `make guarantees` takes out is where the list says it is."""

import pytest

from tests.guarantees.removals import REMOVALS, ROOT


@pytest.mark.parametrize(("file", "text", "test"), [(row[1], row[2], row[4]) for row in REMOVALS])
def test_a_mechanism_to_take_out_is_there_and_so_is_its_test(file: str, text: str, test: str) -> None:
    assert text in (ROOT / "src/headrace" / file).read_text()
    path, _, name = test.partition("::")
    assert f"def {name.partition('[')[0]}" in (ROOT / path).read_text()
