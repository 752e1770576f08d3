"""The lists beside `make mutants` name what is there."""

from pathlib import Path

from tests.mutants.accepted import ACCEPTED
from tests.mutants.near import NEAR, near
from tests.mutants.reach import function_at

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "headrace"


def test_every_accepted_change_is_of_a_file_that_is_there_and_says_why() -> None:
    for each in ACCEPTED:
        assert (PACKAGE / each.file).is_file(), f"there is no {each.file} any more"
        assert each.was != each.becomes
        assert each.why.startswith(("equal in effect: ", "only speed: ", "only wording: ")), each


def test_the_tests_for_a_file_are_those_of_the_longest_path_that_fits() -> None:
    assert near("store/queries/filters.py") == NEAR["store/queries/"]
    assert near("store/clickhouse.py") == NEAR["store/"]
    assert near("cli/main.py") == ((), ("tests",))


def test_every_folder_and_every_test_that_is_named_exists() -> None:
    for folder, tests in NEAR.items():
        assert (PACKAGE / folder).exists()
        assert [each for each in (*tests.quick, *tests.wide) if not (ROOT / each).exists()] == []


SOURCE = """
LIMIT = 5

class Store:
    size: int = 1

    @property
    def big(
        self, least: int = 3
    ) -> bool:
        def inner() -> int:
            return 7

        return inner() > LIMIT

async def plain(): return 1
"""


def test_a_line_belongs_to_the_innermost_function_whose_body_holds_it() -> None:
    wanted = {2: None, 5: None, 7: None, 9: None, 12: "Store.big.<locals>.inner", 14: "Store.big", 16: "plain"}
    assert {line: function_at(SOURCE, line) for line in wanted} == wanted
