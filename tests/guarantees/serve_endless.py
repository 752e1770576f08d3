"""`headrace serve` whose statistics take a query that does not end by itself.

python -m tests.guarantees.serve_endless --port 0 --data DIR
"""

import os
import sys
from pathlib import Path
from typing import Any

from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime
from headrace.http.serve import run
from headrace.model.settings import Settings
from headrace.store.queries.conditions import Query

ENDLESS = Query("SELECT count() FROM system.numbers WHERE sipHash64(number) = {never:UInt64}", {"never": 1})


def main(_port: str, port: str, _data: str, data: str) -> int:
    settings = Settings.from_environ(os.environ, port=port, data=Path(data))
    configure(settings)
    runtime = Runtime(settings)

    def stats(*_: Any) -> Any:
        runtime.store.engine.ask(ENDLESS, "JSONEachRow")

    runtime.store.stats = stats  # pyright: ignore[reportAttributeAccessIssue]
    return run(runtime)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
