"""The limits that docs/guarantees.md promises are those of the source."""

import re
from pathlib import Path

import pytest

from headrace.control import reaction_saving, replay_jobs
from headrace.model import filters, measures
from headrace.reactions import challenges, document, rules

PAGE = (Path(__file__).parents[2] / "docs/guarantees.md").read_text("utf-8")
ROWS = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|", PAGE[PAGE.index("| what is stored |") :], re.MULTILINE))


@pytest.mark.parametrize(
    ("stored", "limits"),
    [
        ("property keys of one name", [filters.MAX_CATALOG_PROPERTIES]),
        ("tags, properties, users as groups of a count", [filters.MAX_GROUPS]),
        ("buckets of a series", [filters.MAX_BUCKETS, filters.MAX_FILLED_BUCKETS]),
        ("metric names", [measures.MAX_METRICS]),
        ("tag keys of one metric", [measures.MAX_TAG_KEYS]),
        ("progress of one participant", [document.MAX_DISTINCT, document.MAX_STREAK_DAYS]),
        ("events that a rule was not evaluated for", [reaction_saving.MAX_PASSED_OVER]),
        ("replay jobs (admin keys)", [replay_jobs.MAX_WAITING, replay_jobs.MAX_KEPT, replay_jobs.MAX_ERRORS]),
        ("rules (admin keys)", [rules.MAX_RULES]),
    ],
)
def test_a_limit_is_as_large_as_the_page_says(stored: str, limits: list[int]) -> None:
    told = [int(each.replace(",", "")) for each in re.findall(r"\d[\d,]*\d|\d", ROWS[stored])]
    assert told[: len(limits)] == limits
    assert challenges.MAX_COMPLETIONS == 10**9
