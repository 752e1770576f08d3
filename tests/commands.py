"""`headrace …` in this process, as a shell sees it: an interpreter of its own would take a second to start."""

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from headrace.cli.main import main

CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def headrace(*arguments: object, stdin: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """environ: beside `CLEAN`."""
    command = ["headrace", *map(str, arguments)]
    code, out, err = 0, StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", command)
        patch.setattr(sys, "stdin", StringIO(stdin))
        patch.setattr(os, "environ", CLEAN | environ)
        try:
            main()
        except SystemExit as ended:
            code = int(str(ended.code))
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
