"""One headless Chromium for all pages of a test file: to start one takes seven times the processor time that a page takes.

Each page is opened in a context of its own, which shares no storage, cache or connection with any other.
"""

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.sdks.npm import FOLDER, node

_END_TIMEOUT_S = 60


@pytest.fixture(scope="module")
def chromium() -> Iterator[str]:
    """Where the scripts for pages find it. Skips, saying why, where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium is installed (on Debian: apt-get install chromium)")
    command = [node(), "chromium.mjs", found]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    process = subprocess.Popen(command, cwd=FOLDER, text=True, **pipes)  # type: ignore[call-overload]
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("ws://"), address + process.stdout.read()
        yield address
    finally:
        process.stdin.close()
        try:
            process.wait(_END_TIMEOUT_S)
        finally:
            process.kill()
            process.stdout.close()
