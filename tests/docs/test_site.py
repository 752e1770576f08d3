"""The docs site builds without warnings, and its pages load nothing from other hosts."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What a browser fetches by itself; links that a reader may follow are none of it.
LOADED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?((?:https?:)?//[^\"' >]+)"
    r"|<link\b(?![^>]*rel=[\"']?canonical)[^>]*\bhref=[\"']?((?:https?:)?//[^\"' >]+)"
    r"|(?:url\(|@import )[\"']?((?:https?:)?//[^\"') ]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs")
    shutil.copy(ROOT / "zensical.toml", folder)
    command = [Path(sys.executable).with_name("zensical"), "build", "--strict", "--clean"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "site"


def test_every_page_of_docs_is_in_it(site: Path) -> None:
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")}
    expected = {page.with_name("index.html") if page.stem == "README" else page for page in pages}
    assert expected <= {path.relative_to(site) for path in site.glob("**/*.html")}


def test_its_pages_load_nothing_from_other_hosts(site: Path) -> None:
    files = [*site.glob("**/*.html"), *site.glob("**/*.css")]
    assert len(files) > 20
    found = {match[0] for path in files for match in LOADED.finditer(path.read_text())}
    assert not found
