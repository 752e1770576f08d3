"""What the server writes to its log: never a key, never a body."""

import subprocess
import sys

import pytest

_FAIL = """
from headrace.assembly.logs import configure
from headrace.model.settings import Settings
import structlog

configure(Settings(log_format=FORMAT))

def handle(authorization: str, body: bytes) -> None:
    raise RuntimeError("it broke")

try:
    handle("Bearer " + "".join(["sk_live_", "secret"]), b"".join([b"a body's ", b"content"]))
except RuntimeError:
    structlog.get_logger("headrace").exception("unexpected_error")
"""


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_failure_is_logged_with_its_place_and_without_what_was_at_hand(log_format: str) -> None:
    """What was at hand when a request failed is its key and its body."""
    script = _FAIL.replace("FORMAT", repr(log_format))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "it broke" in done.stderr
    assert "handle" in done.stderr
    assert "sk_live_secret" not in done.stderr
    assert "body's content" not in done.stderr
