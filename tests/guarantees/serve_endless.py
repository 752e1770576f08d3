"""`headrace serve` whose statistics take a query that does not end by itself, and which at the end leaves most of its grace to
those who refuse it: on a busy machine they need that.

python -m tests.guarantees.serve_endless --port 0 --data DIR
"""

import os
import sys
from pathlib import Path
from typing import Any

from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime
from headrace.dialects.settings import ServerSettings
from headrace.http import serve
from headrace.store.events import EventReader
from headrace.store.queries.conditions import Query

ENDLESS = Query("SELECT count() FROM system.numbers WHERE sipHash64(number) = {never:UInt64}", {"never": 1})


def main(_port: str, port: str, _data: str, data: str) -> int:
    settings = ServerSettings.from_environ(os.environ, port=port, data=Path(data))
    configure(settings)

    def stats(*_: Any) -> Any:
        runtime.store.engine.ask(ENDLESS, "JSONEachRow")

    EventReader.stats = stats  # before it is bound to the store
    serve._QUERIES_SHARE = 0.05  # pyright: ignore[reportPrivateUsage]
    runtime = Runtime(settings)
    return serve.run(runtime)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
