"""`headrace serve` that fails between start and stop, or that does not end; the kernel waits for the latter for one second.

python -m tests.http.serve_failing start|hang --port 0 --data DIR
"""

import os
import sys
import threading
from pathlib import Path

from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime
from headrace.dialects.settings import ServerSettings
from headrace.http import serve


def main(how: str, _port: str, port: str, _data: str, data: str) -> int:
    settings = ServerSettings.from_environ(os.environ, port=port, data=Path(data))
    configure(settings)
    runtime = Runtime(settings)
    serve.BACKSTOP_S = 1.0

    def fail() -> None:
        raise RuntimeError("told to")

    def hang() -> None:
        threading.Event().wait()

    if how == "start":
        runtime.replays.runner.loop.start = fail
    else:
        runtime.pipeline.worker.stop = hang
    return serve.run(runtime)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
