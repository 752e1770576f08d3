"""`headrace migrate-data`, killed by SIGKILL right after each of some steps, one run after the other.

python -m tests.scale.move_and_die DATA STEP…

Exits with 0 once each has died where it should.
"""

import os
import signal
import sys
import traceback
from pathlib import Path

from headrace.assembly.moving import migrate_data
from headrace.cli.opened import deed_of
from headrace.model.settings import Settings


def main(data: str, *steps: str) -> int:
    for step in steps:
        # A fork, because most of a command's time goes into its imports. Nothing is opened before it.
        child = os.fork()
        if not child:
            _move(Path(data), step)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            print(f"{step}: ended with {os.waitstatus_to_exitcode(status)}", file=sys.stderr)
            return 1
    return 0


def _move(data: Path, step: str) -> None:
    def die(done: str) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGKILL)

    try:
        migrate_data(Settings.from_environ(os.environ, data=data), deed_of("migrate-data"), on_step=die)
    except BaseException:
        traceback.print_exc()
    os._exit(3)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
