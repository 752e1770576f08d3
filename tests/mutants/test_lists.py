"""The lists beside `make mutants` name what is there."""

from pathlib import Path

from tests.mutants.accepted import ACCEPTED
from tests.mutants.near import NEAR, near

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "headrace"


def test_every_accepted_change_is_of_a_line_that_is_still_there_and_says_why() -> None:
    for each in ACCEPTED:
        lines = [line.strip() for line in (PACKAGE / each.file).read_text().splitlines()]
        assert each.was in lines, f"{each.file} has no such line any more: {each.was}"
        assert each.why.startswith(("equal in effect", "only speed", "only wording")), each


def test_the_tests_for_a_file_are_those_of_the_longest_path_that_fits() -> None:
    assert near("store/queries/filters.py") == NEAR["store/queries/"]
    assert near("store/clickhouse.py") == NEAR["store/"]
    assert near("cli/main.py") == ("tests",)


def test_every_folder_and_every_test_that_is_named_exists() -> None:
    for folder, tests in NEAR.items():
        assert (PACKAGE / folder).is_dir()
        assert [each for each in tests if not (ROOT / each).exists()] == []
