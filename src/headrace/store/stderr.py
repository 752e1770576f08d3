"""Turns the embedded engine's output on stderr at startup into one log line. Does not affect Python's logging."""

import os
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager

import structlog

_log = structlog.get_logger("headrace.store")
_STDERR = 2
_MAX_BYTES = 16 * 1024


@contextmanager
def stderr_logged() -> Generator[None]:
    """Log everything written to stderr inside the block as one line at info, `engine_message`.

    chDB prints a stack trace where no cgroup file system is mounted, and offers no setting against it. The redirection
    affects the whole process, so nothing else may write to stderr in the block. If the engine ends the process inside it, the
    text is left in a temporary file, which a server has in its data folder. If it cannot be created, stderr stays as it is.
    """
    with ExitStack() as opened:
        try:
            said = opened.enter_context(tempfile.NamedTemporaryFile(prefix="engine-stderr-"))
            stderr = os.dup(_STDERR)
        except OSError:
            yield
            return
        opened.callback(os.close, stderr)
        os.dup2(said.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(stderr, _STDERR)
            said.seek(0)
            if text := said.read(_MAX_BYTES).decode(errors="replace").strip():
                _log.info("engine_message", text=text)
