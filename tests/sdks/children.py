"""Runs the vendors' Python SDKs in an environment of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYTHON = Path(sys.prefix) / "sdks" / "bin" / "python"
SCRIPT = Path(__file__).with_name("python_calls.py")


def start(sdk: str, url: str, key: str, what: str, *more: str) -> "subprocess.Popen[str]":
    if not PYTHON.exists():
        pytest.fail(f"The SDKs are not installed in {PYTHON.parent.parent}: run `make setup`.")
    # No proxy of the machine's, and no address of the SDKs' own makers.
    environ = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.Popen(
        [PYTHON, SCRIPT, sdk, url, key, what, *more],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environ | {"NO_PROXY": "*"},
    )


def finish(child: "subprocess.Popen[str]", code: str = "") -> str:
    """What the child printed, once it has ended well."""
    output, _ = child.communicate(code, timeout=110)
    assert child.returncode == 0, output[-4000:]
    return output


def run(sdk: str, url: str, key: str, what: str, *more: str, code: str = "") -> str:
    return finish(start(sdk, url, key, what, *more), code)
