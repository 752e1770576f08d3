"""The process that `tests/forks.py` starts: it has imported what a server and a command import, and forks for whoever asks.

python -m tests.forking FD: reads requests from this socket until it is closed. Has imported the engine, and not opened one, which
would start threads: a process with threads cannot be forked safely.
"""

import atexit
import ctypes
import faulthandler
import gc
import importlib
import json
import mimetypes
import os
import resource
import runpy
import selectors
import signal
import socket
import sys
import threading
import time
from importlib.util import find_spec, module_from_spec
from pathlib import Path
from typing import NamedTuple

# For the first start on a data folder; and for the engine.
import alembic.command
import alembic.config  # noqa: F401
import numpy as np  # noqa: F401
import pyarrow as pa  # noqa: F401

import headrace.cli.main
import headrace.control.migrations
import headrace.http.serve
from headrace.assembly.struct_types import resolve_struct_types
from headrace.http.docs import document
from tests.forks import EXIT_CODE, MAX_REQUEST_BYTES

_RTLD_DEEPBIND = 0x00008


class Request(NamedTuple):
    """What a child is to run. fds: its stdin, stdout and stderr, and what its exit code is written to."""

    module: str
    arguments: list[str]
    environ: dict[str, str]
    folder: str
    open_files: tuple[int, int]
    fds: list[int]


def serve(control: socket.socket) -> Request | None:
    """Fork for each request. Returns the request in each child, and None in this process at the end."""
    children: dict[int, tuple[int, int]] = {}  # by what tells its end: its pid, and where to write its exit code
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fd == control.fileno():
                    message, fds, _, _ = socket.recv_fds(control, MAX_REQUEST_BYTES, 4)
                    if not message:
                        return None
                    pid = os.fork()
                    if not pid:
                        for ends, (_, tells) in children.items():
                            os.close(ends)
                            os.close(tells)
                        control.close()
                        return Request(*json.loads(message), fds)
                    for fd in fds[:3]:
                        os.close(fd)
                    ends = os.pidfd_open(pid)
                    children[ends] = (pid, fds[3])
                    selector.register(ends, selectors.EVENT_READ)
                    control.send(str(pid).encode())
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    pid, tells = children.pop(key.fd)
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    try:
                        os.write(tells, EXIT_CODE.pack(code))
                    except BrokenPipeError:  # nobody wants to know
                        pass
                    os.close(tells)


def run(request: Request) -> None:
    """Become what `python -m module arguments` would be."""
    for number, fd in enumerate(request.fds[:3]):
        os.dup2(fd, number)
    for fd in request.fds:
        os.close(fd)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(request.environ)
    time.tzset()
    os.chdir(request.folder)
    resource.setrlimit(resource.RLIMIT_NOFILE, tuple(request.open_files))
    if "PYTHONFAULTHANDLER" in os.environ:
        faulthandler.enable()
    sys.argv = [request.module, *request.arguments]
    if request.module == headrace.cli.main.__name__:
        headrace.cli.main.main()
    else:
        runpy.run_module(request.module, run_name="__main__", alter_sys=True)


def end(code: int) -> None:
    """End as Python does, but without freeing every object, which would copy the pages that hold them (0.09 s)."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


class _NoEngine:
    """What `chdb` asks for its version as it is imported. To open a real one takes a third of a server's start."""

    def query(self, *_: object) -> "_NoEngine":
        return self

    def bytes(self) -> bytes:
        return b'"none"\n'

    def close(self) -> None:
        pass


def import_engine() -> None:
    """Import chdb and its client as always, except that it opens no engine, so that no thread is started.

    What it opens as it is imported, a new process opens and closes again: tests that start one (`by_fork=False`) cover that.
    """
    spec = find_spec("chdb")
    assert spec
    assert spec.loader
    assert spec.submodule_search_locations
    for folder in spec.submodule_search_locations:
        ctypes.CDLL(str(Path(folder, "_chdb.abi3.so")), mode=sys.getdlopenflags() | _RTLD_DEEPBIND)  # as chdb does it
    sys.modules["chdb"] = package = module_from_spec(spec)
    library = importlib.import_module("chdb._chdb")
    connect = library.connect
    library.connect = _NoEngine
    try:
        spec.loader.exec_module(package)
    finally:
        library.connect = connect
    importlib.import_module("clickhouse_connect.driver._chdbclient")


def main(fd: str) -> None:
    # Once for all: what each start would find out anew.
    document()
    mimetypes.init()
    resolve_struct_types()
    import_engine()
    gc.collect()
    gc.freeze()  # or each child that collects garbage, at the latest as it ends, would copy every page that holds an object
    threads = len(list(Path("/proc/self/task").iterdir()))
    assert threads == 1, f"{threads} threads run after the imports, and a process with threads cannot be forked safely"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(fd))
    control.send(b"ready")
    if request := serve(control):
        try:
            run(request)
        except SystemExit as ended:
            if not isinstance(ended.code, int | None):
                raise
            end(ended.code or 0)
        end(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
