"""The schema comes up to date on start, wherever the last start was cut off. Each start is a process of its own."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from importlib import resources
from pathlib import Path

import pytest

from tests.forks import run as run_forked

SCHEMA = ",".join(
    sorted(file.name for file in (resources.files("headrace.store") / "schema").iterdir() if file.name[:4].isdigit())
)


def start(folder: Path, *what: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.store.first_start", str(folder / "store"), *what]
    return run_forked(command)


def opened(folder: Path, *what: str) -> str:
    """The schema files recorded, and how many events there are."""
    return " ".join(shown(folder, *what)[:2])


def shown(folder: Path, *what: str) -> list[str]:
    done = start(folder, *what)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the newest schema with three events; tests copy it."""
    folder = tmp_path_factory.mktemp("whole")
    assert opened(folder, "insert") == f"{SCHEMA} 3"
    return folder


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A store as the first schema left it, and its three events; tests copy it."""
    folder = tmp_path_factory.mktemp("old")
    return folder, sorted(shown(folder, "old")[2:])


def copied(folder: Path, to: Path) -> Path:
    shutil.copytree(folder / "store", to / "store", symlinks=True)
    return to


def assert_up_to_date(folder: Path, events: list[str]) -> None:
    files, total, *after = shown(folder)
    assert (files, total) == (SCHEMA, "3")
    assert sorted(after) == events


def test_a_first_start_records_each_schema_file_once(tmp_path: Path) -> None:
    assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
    assert opened(tmp_path) == f"{SCHEMA} 3"


def test_a_file_in_the_folder_of_the_start_does_not_configure_the_engine(tmp_path: Path) -> None:
    started_in, elsewhere = tmp_path / "in", tmp_path / "elsewhere"
    started_in.mkdir()
    (started_in / "config.xml").write_text(f"<clickhouse><path>{elsewhere}/</path></clickhouse>")
    command = [sys.executable, "-m", "tests.store.first_start", str(tmp_path / "store"), "insert"]
    environ = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, cwd=started_in, env=environ, check=True, capture_output=True)
    assert not (elsewhere / "store").exists()
    assert opened(tmp_path) == f"{SCHEMA} 3"


def tables(folder: Path) -> str:
    done = start(folder, "tables")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_new_store_gets_the_tables_that_all_migrations_together_make(
    tmp_path: Path, whole: Path, old: tuple[Path, list[str]]
) -> None:
    made_at_once = tables(whole)
    assert made_at_once.count("CREATE ") == 6
    assert tables(copied(old[0], tmp_path)) == made_at_once


# The engine's greeting, where to record what was done, six tables, the record.
@pytest.mark.parametrize("nth", [2, 3, 6, 8, 9])
def test_a_first_start_that_is_cut_off_between_two_statements_is_finished_by_the_next(
    tmp_path: Path, whole: Path, nth: int
) -> None:
    assert start(tmp_path, "die", str(nth)).returncode == -signal.SIGKILL
    assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
    assert tables(tmp_path) == tables(whole)


def test_a_first_start_of_the_first_schema_that_was_cut_off_before_it_was_recorded_is_finished(tmp_path: Path) -> None:
    events = sorted(shown(tmp_path, "unrecorded")[2:])
    assert_up_to_date(tmp_path, events)


@pytest.mark.parametrize("file", SCHEMA.split(","))
def test_a_schema_file_that_ran_but_was_not_recorded_runs_again_and_keeps_the_events(
    tmp_path: Path, whole: Path, file: str
) -> None:
    copied(whole, tmp_path)
    assert file not in opened(tmp_path, "forget", file).split()[0]
    assert opened(tmp_path) == f"{SCHEMA} 3"


def test_a_first_start_killed_at_any_moment_is_finished_by_the_next(tmp_path: Path) -> None:
    chance = random.Random(11)
    for _ in range(3):
        command = [sys.executable, "-m", "tests.store.first_start", str(tmp_path / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            folder = tmp_path / "store"
            until = time.monotonic() + 60
            while not folder.exists() and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.25))
            process.kill()
        assert opened(tmp_path, "insert") == f"{SCHEMA} 3"
        subprocess.run(["rm", "-r", str(folder)], check=True)


def test_events_of_the_first_schema_are_the_same_events_in_the_newest(
    tmp_path: Path, old: tuple[Path, list[str]]
) -> None:
    folder, events = old
    assert_up_to_date(copied(folder, tmp_path), events)


@pytest.mark.parametrize("nth", [2, 4, 5, 6, 7, 11])
def test_a_migration_that_is_killed_between_two_statements_is_finished_by_the_next_start(
    tmp_path: Path, old: tuple[Path, list[str]], nth: int
) -> None:
    folder, events = old
    copied(folder, tmp_path)
    assert start(tmp_path, "die", str(nth)).returncode == -signal.SIGKILL
    assert_up_to_date(tmp_path, events)


def test_a_migration_killed_at_any_moment_is_finished_by_the_next_start(
    tmp_path: Path, old: tuple[Path, list[str]]
) -> None:
    chance = random.Random(7)
    for turn in range(4):
        folder = copied(old[0], tmp_path / str(turn))
        command = [sys.executable, "-m", "tests.store.first_start", str(folder / "store")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(chance.uniform(0.6, 1.6))
            process.kill()
        assert_up_to_date(folder, old[1])
