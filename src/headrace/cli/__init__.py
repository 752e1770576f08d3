"""The command line. Ctrl-C ends it at once and in one line, also while its modules are being imported."""

import os
import signal
import sys
from pathlib import Path


def _end_at_once(*_: object) -> None:
    """Not by an exception, which would show wherever Python is. Nothing is lost: whatever writes here survives a sudden end."""
    os.write(2, b"headrace: interrupted\n")
    os._exit(128 + signal.SIGINT)


# Only where this is the program and not a part of one: Python calls it "-m" while it looks for the module.
if sys.argv[0] == "-m" or Path(sys.argv[0]).name == "headrace":
    signal.signal(signal.SIGINT, _end_at_once)
