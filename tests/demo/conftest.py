"""One run of the demo, for all who look at what it prints or try what it leaves running."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "demo/demo.py")]


class Staying(NamedTuple):
    """The demo until Ctrl-C. output: what it has shown; invitation: what it then suggests to try."""

    process: "subprocess.Popen[str]"
    output: str
    invitation: str


@pytest.fixture(scope="module")
def staying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Staying]:
    """`make demo` without a terminal, once it has nothing more to show."""
    process = subprocess.Popen(
        COMMAND,
        env=environ(tmp_path_factory.mktemp("demo")),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        shown = ""
        for line in process.stdout:
            shown += line
            if "until Ctrl-C" in line:
                break
        output, _, invitation = shown.partition("Now you")
        yield Staying(process, output, invitation)
    finally:
        if process.poll() is None:
            process.terminate()  # which stops its server too
        process.communicate()


def environ(folder: Path) -> dict[str, str]:
    """Temporary files go to the folder. The setting must not reach the demo's server: it would break the demo."""
    hidden = ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    environ = {name: text for name, text in os.environ.items() if name not in hidden}
    return environ | {"TMPDIR": str(folder), "HEADRACE_LIMIT_FLUX_QUERY": "1"}
