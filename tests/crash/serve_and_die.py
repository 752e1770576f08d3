"""`headrace serve`, killed by SIGKILL right after the nth time that the worker has done a numbered step.

python -m tests.crash.serve_and_die STEP:N --port 0 --data DIR
"""

import itertools
import os
import signal
import sys
from pathlib import Path

from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime
from headrace.dialects.settings import ServerSettings
from headrace.http.serve import run
from headrace.store.queries import own_columns


def main(when: str, _port: str, port: str, _data: str, data: str) -> int:
    step, _, nth = when.partition(":")
    times = itertools.count(1)

    def die(done: str) -> None:
        if done == step and next(times) == int(nth):
            os.kill(os.getpid(), signal.SIGKILL)

    if step == "counts_filling":
        own_columns._SMALL_PART = own_columns._SMALL_INSERT = 1  # otherwise there is nothing to fill in a few events
    settings = ServerSettings.from_environ(os.environ, port=port, data=Path(data))
    configure(settings)
    return run(Runtime(settings, on_step=die))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
