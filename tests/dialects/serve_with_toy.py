"""`headrace serve` that speaks the toy dialect, too: python -m tests.dialects.serve_with_toy --port 0 --data DIR"""

import os
import sys
from pathlib import Path

from headrace.assembly.logs import configure
from headrace.assembly.runtime import Runtime
from headrace.dialects.settings import settings_of
from headrace.dialects.table import DIALECTS
from headrace.http.serve import run
from tests.dialects import toy


def main(_port: str, port: str, _data: str, data: str) -> int:
    dialects = (*DIALECTS, toy.DIALECT)
    settings = settings_of(dialects).from_environ(os.environ, port=port, data=Path(data))
    configure(settings)
    return run(Runtime(settings), dialects)


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
