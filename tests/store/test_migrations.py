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
    """The schema files recorded, and how many events there are."""
    return " ".join(shown(folder, *what)[:2])


def shown(folder: Path, *what: str) -> list[str]:
    done = start(folder, *what)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_first_start_records_each_schema_file_once(tmp_path: Path) -> None:
    assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
    assert opened(tmp_path) == f"{SCHEMA} 3"


@pytest.mark.parametrize("nth", [2, 3, 5, 8])
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


def test_events_of_the_first_schema_are_the_same_events_in_the_newest(tmp_path: Path) -> None:
    _, _, *before = shown(tmp_path, "old")
    files, total, *after = shown(tmp_path)
    assert (files, total) == (SCHEMA, "3")
    assert sorted(after) == sorted(before)


@pytest.mark.parametrize("nth", [2, 4, 5, 6, 7])
def test_a_migration_that_is_killed_between_two_statements_is_finished_by_the_next_start(
    tmp_path: Path, nth: int
) -> None:
    _, _, *before = shown(tmp_path, "old")
    assert start(tmp_path, "die", str(nth)).returncode == -signal.SIGKILL
    files, total, *after = shown(tmp_path)
    assert (files, total) == (SCHEMA, "3")
    assert sorted(after) == sorted(before)


def test_a_migration_killed_at_any_moment_is_finished_by_the_next_start(tmp_path: Path) -> None:
    chance = random.Random(7)
    for turn in range(4):
        folder = tmp_path / str(turn)
        _, _, *before = shown(folder, "old")
        command = [sys.executable, "-m", "tests.store.first_start", str(folder / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(chance.uniform(0.6, 1.6))
            process.kill()
        files, total, *after = shown(folder)
        assert (files, total) == (SCHEMA, "3")
        assert sorted(after) == sorted(before)
