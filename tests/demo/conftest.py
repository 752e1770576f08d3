"""One run of the demo to its end, for all who look at what it prints."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "demo/demo.py")]


class Ended(NamedTuple):
    code: int
    output: str
    left_behind: list[Path]


@pytest.fixture(scope="session")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    """`make demo ARGS=--exit`, without a terminal and with its standard input closed."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *COMMAND, "--exit"],
        env=environ(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, list(folder.iterdir()))


def environ(folder: Path) -> dict[str, str]:
    """Temporary files go to the folder. The setting must not reach the demo's server: it would break the demo."""
    hidden = ("COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    environ = {name: text for name, text in os.environ.items() if name not in hidden}
    return environ | {"TMPDIR": str(folder), "HEADRACE_LIMIT_FLUX_QUERY": "1"}
