"""A port for a program that has to be told one."""

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of 127.0.0.1 on which a program may listen that sets SO_REUSEADDR, as servers do, and which nobody else is given.

    Where the system is not Linux, it is only free at first.
    """
    with bound() as kept:
        port = kept.getsockname()[1]
        if sys.platform != "linux":
            kept.close()
        yield port


def bound() -> socket.socket:
    """Keeps such a port until it is closed."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    kept.bind(("127.0.0.1", 0))
    return kept
