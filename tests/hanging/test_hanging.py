"""A test that hangs ends the run: red, with its name, and with nothing left running."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.waiting import until

ROOT = Path(__file__).parents[2]
HANGS = "tests/hanging/hangs.py"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [["-n0"], ["-n1", "--dist", "loadfile"]], ids=["in this process", "in workers"])
def test_a_test_that_hangs_ends_the_run_with_its_name_and_leaves_nothing(tmp_path: Path, workers: list[str]) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        *workers,
        "-p",
        "no:cacheprovider",
        f"--basetemp={tmp_path / 'run'}",
        HANGS,
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=280)
    assert done.returncode != 0, done.stdout
    assert "test_hangs_on_purpose" in done.stdout
    assert done.stdout.count("node down") == (workers != ["-n0"]), "it is not given to another worker"
    started = [int(file.read_text()) for file in tmp_path.rglob("*.pid")]
    assert len(started) == 2, "a server, and another process"
    for pid in started:
        wait_until_gone(pid)


def wait_until_gone(pid: int) -> None:
    """Ends once the process has; its killer may need a moment after the run's end."""
    stat = Path(f"/proc/{pid}/stat")

    def is_gone() -> bool:
        try:
            return ") Z " in stat.read_text()
        except OSError:
            return True

    until(is_gone)
