import pytest

from tests.parts import of_part

FILES = [f"test_{number}.py" for number in range(7)]


def test_the_parts_of_a_run_are_the_whole_and_share_the_longest_files() -> None:
    first, second = of_part("1/2", FILES), of_part("2/2", FILES)
    assert {*first, *second} == {*FILES}
    assert not {*first} & {*second}
    assert FILES[0] in first
    assert FILES[1] in second
    assert of_part("1/1", FILES) == {*FILES}


@pytest.mark.parametrize("part", ["0/2", "3/2", "1", "x", "1/x", "-1/2", "1/2/3", ""])
def test_a_part_that_there_is_not_is_refused(part: str) -> None:
    with pytest.raises(ValueError, match="such as 1/2"):
        of_part(part, FILES)
