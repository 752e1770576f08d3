"""`headrace serve` over a store that does what a file says: "fail" refuses every insert, "slow" holds each up.

python -m tests.guarantees.serve_on_bad_store FILE --port 0 --data DIR
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime
from headrace.dialects.settings import ServerSettings
from headrace.http.serve import run
from headrace.ports.store import StoreFailed


def main(told: str, _port: str, port: str, _data: str, data: str) -> int:
    settings = ServerSettings.from_environ(os.environ, port=port, data=Path(data))
    configure(settings)
    runtime = Runtime(settings)
    insert: Callable[..., None] = runtime.store.insert

    def insert_or_not(*arguments: Any) -> None:
        what = Path(told).read_text()
        if what == "fail":
            raise StoreFailed("told to")
        if what == "slow":
            time.sleep(0.3)
        insert(*arguments)

    runtime.store.insert = insert_or_not  # pyright: ignore[reportAttributeAccessIssue]
    return run(runtime)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
