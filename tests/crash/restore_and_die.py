"""`headrace restore`, killed by SIGKILL right after each of some steps, one restore after the other.

python -m tests.crash.restore_and_die FOLDER DATA STEP…

Exits with 0 once each has died where it should, and has left no data folder.
"""

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from headrace.assembly.restoring import restore_into
from headrace.cli.opened import deed_of
from headrace.model.settings import Settings


def main(folder: str, data: str, *steps: str) -> int:
    for step in steps:
        # A fork, because most of a command's time goes into its imports. Nothing is opened before it.
        child = os.fork()
        if not child:
            _restore(Path(folder), Path(data), step)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            print(f"{step}: ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            return 1
        if Path(data).exists():
            print(f"{step}: left a data folder", file=sys.stderr)
            return 1
    return 0


def _restore(folder: Path, data: Path, step: str) -> None:
    def die(done: str) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        restore_into(Settings.from_environ(os.environ, data=data), folder, deed_of("restore"), on_step=die)
    except BaseException:
        traceback.print_exc()
    os._exit(3)


def died_at(folder: Path, data: Path, steps: Sequence[str]) -> list[str]:
    """The command that does it."""
    return [sys.executable, "-m", "tests.crash.restore_and_die", str(folder), str(data), *steps]


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
