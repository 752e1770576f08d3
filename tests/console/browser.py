"""A Chromium with the console in it: steps go to browser.mjs, one line of JSON each way."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from headrace.http.console_files import state
from tests.sdks.npm import FOLDER, node

SCRIPT = Path(__file__).with_name("browser.mjs")


class Browser:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def __call__(self, step: str, **given: Any) -> Any:
        """What the step has found. Raises AssertionError with what the page shows."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps({"step": step} | given) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the browser ended"
        reply = json.loads(line)
        assert "error" not in reply, f"{reply['error']}\n{reply['text']}"
        return reply["found"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Skips, saying why, where there is no Chromium, no node package or no console."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not found:
        pytest.skip("no Chromium is installed (on Debian: apt-get install chromium)")
    if (built := state()) != "built":
        pytest.skip(f"the console is {built} (make console builds it, which takes the npm registry)")
    command = [node(), str(SCRIPT), found, str(FOLDER)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        yield Browser(process)
    finally:
        assert process.stdin
        process.stdin.close()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout
        process.stdout.close()
