"""Which Pythons the command starts on, and what it says on others."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from headrace import __version__
from headrace.__main__ import NEWEST, OLDEST

ROOT = Path(__file__).parents[2]
_PRETEND = """
import runpy, sys
sys.version_info = {version}
sys.argv = ["headrace", "--version"]
for module in [each for each in sys.modules if each.startswith("headrace")]:
    del sys.modules[module]
runpy.run_module("headrace", run_name="__main__")
"""


def start(python: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run([python, *arguments], env=environ, capture_output=True, text=True)


def assert_refused(done: "subprocess.CompletedProcess[str]") -> None:
    assert done.returncode == 2
    assert re.fullmatch(r"headrace: needs Python 3\.11 to 3\.14; this is Python [\d.]+ \(.+\)\.\n", done.stderr)


@pytest.mark.parametrize("version", [(3, 10, 13, "final", 0), (3, 15, 0, "final", 0), (4, 0, 0, "final", 0)])
def test_a_python_outside_the_tried_range_is_refused_in_one_line(version: tuple[object, ...]) -> None:
    assert_refused(start(sys.executable, "-c", _PRETEND.format(version=version)))


def old_pythons() -> list[str]:
    """Pythons on this machine that are too old."""
    folders = [*map(Path, os.environ["PATH"].split(os.pathsep)), *Path("~/.pyenv/versions").expanduser().glob("*/bin")]
    names = [f"python3.{minor}" for minor in range(6, OLDEST[1])]
    found = {
        name: str(each / name)
        for each in folders
        for name in names
        if "shims" not in each.parts and shutil.which(each / name)
    }
    return list(found.values())


def test_an_old_python_says_so_before_it_meets_syntax_that_it_cannot_read() -> None:
    pythons = old_pythons()
    if not pythons:
        pytest.skip("there is no Python older than 3.11")
    for python in pythons:
        assert_refused(start(python, "-m", "headrace", "serve"))


def test_this_python_starts() -> None:
    done = subprocess.run([sys.executable, "-m", "headrace", "--version"], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, __version__)


def test_the_metadata_names_the_same_range() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">=3.{OLDEST[1]},<3.{NEWEST[1] + 1}"
    named = [each.rpartition(" ")[2] for each in project["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert named == [f"3.{minor}" for minor in range(OLDEST[1], NEWEST[1] + 1)]
    assert project["scripts"] == {"headrace": "headrace.__main__:main"}
    makefile = (ROOT / "Makefile").read_text()
    assert f"not (3, {OLDEST[1]}) <= sys.version_info[:2] <= (3, {NEWEST[1]})" in makefile
