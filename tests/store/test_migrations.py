"""The schema comes up to date on start, wherever the last start was cut off. Each start is a process of its own."""

import random
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

SCHEMA = ",".join(
    sorted(file.name for file in (resources.files("headrace.store") / "schema").iterdir() if file.name.endswith(".sql"))
)


def start(folder: Path, *what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.store.first_start", str(folder / "store"), *what]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def opened(folder: Path, *what: str) -> str:
    done = start(folder, *what)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_first_start_records_each_schema_file_once(tmp_path: Path) -> None:
    assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
    assert opened(tmp_path) == f"{SCHEMA} 3"


@pytest.mark.parametrize("nth", [2, 3, 4])
def test_a_first_start_that_is_cut_off_between_two_statements_is_finished_by_the_next(tmp_path: Path, nth: int) -> None:
    assert start(tmp_path, "die", str(nth)).returncode == -signal.SIGKILL
    assert opened(tmp_path, "insert") == f"{SCHEMA} 3"


@pytest.mark.parametrize("file", SCHEMA.split(","))
def test_a_schema_file_that_ran_but_was_not_recorded_runs_again_and_keeps_the_events(tmp_path: Path, file: str) -> None:
    assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
    assert file not in opened(tmp_path, "forget", file).split()[0]
    assert opened(tmp_path) == f"{SCHEMA} 3"


def test_a_first_start_killed_at_any_moment_is_finished_by_the_next(tmp_path: Path) -> None:
    chance = random.Random(11)
    for _ in range(3):
        command = [sys.executable, "-m", "tests.store.first_start", str(tmp_path / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            folder = tmp_path / "store"
            until = time.monotonic() + 20
            while not folder.exists() and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.25))
            process.kill()
        assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
        subprocess.run(["rm", "-r", str(folder)], check=True)
