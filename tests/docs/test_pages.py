"""The pages in docs/ and at the root: their links lead somewhere, the files they name exist, and their prose fits a screen."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/**/*.md")])
CODE = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    return CODE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked), target


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_prose_stays_within_100_columns(page: Path) -> None:
    for line in prose(page).splitlines():
        is_table = line.lstrip().startswith("|")
        only_a_link = line.lstrip("-* ").startswith("[") and " " not in line.strip("-* ")
        assert is_table or only_a_link or len(line) <= 100, line


def source_files(page: Path) -> Iterator[str]:
    """What a page names like a file of ours: `folder/file.py`, `folder/` or, after one of those, `file.py`."""
    folder = ""
    for name in re.findall(r"`([a-z_]+/(?:[a-z0-9_/]+(?:\.py)?)?|[a-z_]+\.py)`", prose(page)):
        if "/" in name:
            folder = name.rpartition("/")[0]
            yield name
        else:
            yield f"{folder}/{name}"


def test_the_architecture_names_files_that_exist() -> None:
    found = list(source_files(ROOT / "docs/architecture.md"))
    assert len(found) > 20
    for name in found:
        assert any((base / name).exists() for base in (ROOT / "src/headrace", ROOT)), name


def test_every_decision_is_in_the_index_under_its_number_and_has_a_date_and_a_status() -> None:
    folder = ROOT / "docs/decisions"
    rows = re.findall(
        r"^\| (\d+) \| \[.+\]\((.+)\) \| \d{4}-\d\d-\d\d \| \S.* \|$", prose(folder / "README.md"), re.MULTILINE
    )
    files = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert [name for _, name in rows] == files
    for number, name in rows:
        assert int(name[:4]) == int(number)
        assert (folder / name).read_text().startswith(f"# {number}. "), name
