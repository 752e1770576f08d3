"""A process that is forked behaves as one that was started: its words, its surroundings, its signals and its end."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headrace import __version__
from tests import forks

COMMAND = [sys.executable, "-m", "headrace.cli.main"]
SHOWS = [sys.executable, "-m", "tests.hanging.shows"]


def test_a_command_says_and_returns_what_it_would_if_it_were_started() -> None:
    for words in (["--version"], ["settings"], ["keys"], ["serve", "--port", "http"]):
        started = subprocess.run([*COMMAND, *words], capture_output=True, text=True)
        forked = forks.run([*COMMAND, *words])
        assert (forked.returncode, forked.stdout, forked.stderr) == (
            started.returncode,
            started.stdout,
            started.stderr,
        )
    assert forks.run([*COMMAND, "--version"]).stdout == f"{__version__}\n"


def test_a_fork_has_the_stdin_the_environment_and_the_folder_that_it_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shown = forks.run([*SHOWS, "é", ""], {"A": "b", "PATH": os.environ["PATH"]}, given="line\n").stdout.splitlines()
    assert shown == ["['é', '']", "b None", str(tmp_path), "line"]


def test_a_fork_that_is_killed_says_so_and_leaves_others_alone() -> None:
    first, second = (forks.start([*SHOWS, "waits"], os.environ) for _ in range(2))
    for process in (first, second):
        assert process.stderr
        assert process.stderr.readline() == "ready\n"
    assert first.poll() is None
    first.kill()
    assert first.wait(60) == first.poll() == -signal.SIGKILL
    assert second.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        second.wait(0.01)
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == -signal.SIGINT
    for process, said in ((first, ""), (second, "KeyboardInterrupt\n")):
        assert process.stderr
        with process.stderr as stderr:
            assert stderr.read().endswith(said)


def test_an_exit_code_is_the_forks_own() -> None:
    assert forks.run([*SHOWS, "exits", "7"]).returncode == 7
