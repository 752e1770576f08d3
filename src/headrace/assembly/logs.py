"""Structured logs on stderr, one line per event, as JSON or for people. Never logs keys or bodies, and never raises."""

import io
import logging
import os
import sys
from contextlib import suppress
from typing import TextIO, cast

import structlog

from headrace.model.settings import Settings

_STDERR = 2


def configure(settings: Settings, /) -> None:
    """Set up structlog once, before the first line is logged. Replaces sys.stderr with an unbuffered stream."""
    sys.stderr = _open_stderr()
    # structlog's defaults show the local variables of every frame, which in a request include its key and its body.
    if settings.log_format == "json":
        tracebacks = structlog.processors.ExceptionRenderer(
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        )
        rendering = [tracebacks, structlog.processors.JSONRenderer()]
    else:
        plain = structlog.dev.plain_traceback
        rendering = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, settings.log_level.upper())),
        # One write a line, with its end: what another thread or library writes does not get in between.
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Forgiving(sys.stderr))),
        cache_logger_on_first_use=True,
    )


def _open_stderr() -> TextIO:
    """An unbuffered stderr, or the null device if stderr is closed.

    Python flushes its standard streams at exit and turns any exit code into 120 if that fails. So lines lost because nobody
    reads stderr would make a clean shutdown look like a crash.
    """
    try:
        os.fstat(_STDERR)
    except OSError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), _STDERR
        )  # or the next file opened would receive what is meant for stderr
    raw = io.FileIO(_STDERR, "w", closefd=False)
    return io.TextIOWrapper(cast(io.BufferedWriter, raw), "utf-8", "backslashreplace", write_through=True)


class _Forgiving:
    """A stream that drops what it cannot write (disk full, reader gone), so that logging a failure never causes another."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        with suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()
