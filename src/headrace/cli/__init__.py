"""The command line. Ctrl-C ends it at once and in one line, also while its modules are being imported."""

import os
import signal
import sys
from pathlib import Path


def _end_at_once(*_: object) -> None:
    """End without an exception, whose traceback would show. Nothing is lost: every command that writes survives a sudden end."""
    os.write(2, b"headrace: interrupted\n")
    os._exit(128 + signal.SIGINT)


# Only if this is the program itself and not imported by another: Python calls it "-m" while it looks for the module.
if sys.argv[0] == "-m" or Path(sys.argv[0]).name == "headrace":
    signal.signal(signal.SIGINT, _end_at_once)
