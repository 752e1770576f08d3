"""Runs the server: opens the runtime, listens, and shuts down cleanly on SIGTERM or SIGINT."""

import asyncio
import gc
import logging
import math
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn

from headrace.assembly.capabilities.bundle import capabilities_of
from headrace.assembly.logs import configure
from headrace.assembly.roles import Candidate, HeldPartition, require_urls, share_of, url_of_worker
from headrace.assembly.runtime import Runtime, open_runtime
from headrace.dialects.route import Dialect
from headrace.dialects.table import DIALECTS
from headrace.http.addresses import Addresses
from headrace.http.app import create_app
from headrace.http.forward import Forwarding
from headrace.http.lag import Lagging
from headrace.http.problems import Problems
from headrace.http.protocol import Protocol
from headrace.http.standby import Standby
from headrace.http.telemetry import telemetry_of
from headrace.http.unread import Unread
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings

_log = structlog.get_logger("headrace")
# Threads hand over to each other in every request. Python's default of 5 ms would be most of a request's time.
_SWITCH_INTERVAL_S = 0.0005
# Requests create many objects and no cycles (docs/decisions/0182-nothing-for-the-collector.md). Python's default of 700 would
# collect several times per batch. Each object takes up to a microsecond, during which nothing else runs: so with these, nothing
# waits longer than some 10 ms. The older generations are collected after a million and fifty million.
_GC_THRESHOLDS = (10_000, 100, 50)
_BACKLOG = 2048
# A query running at shutdown has this share of the grace period, so that there is time left to refuse it.
_QUERIES_SHARE = 0.75
# After the grace period. A sudden end loses nothing acknowledged, but the next start has to recover the last insert.
BACKSTOP_S = 15.0
_LOOK_FOR_LEASE_S = 0.2
# Files that the log, the store and the index of known keys may have open besides the connections.
FILES_OF_ENGINES = 1024


def serve(settings: Settings, /) -> int:
    """Serve until told to stop. Returns the process's exit code. Raises SettingsError if it cannot start."""
    configure(settings)
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    gc.freeze()  # imported modules stay, so the collector need not walk them
    gc.set_threshold(*_GC_THRESHOLDS)
    require_urls(settings)
    if settings.role == "worker":
        return work(settings)
    return run(open_runtime(settings))


def run(runtime: Runtime, /, dialects: Sequence[Dialect] = DIALECTS) -> int:
    """Serve an opened runtime in these dialects. Raises SettingsError if it cannot start."""
    settings = runtime.settings
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    runtime.publish_address(host, port)
    unread = Unread(timeout_s=settings.reply_timeout_s, max_bytes=settings.max_unread_bytes)
    app = create_app(capabilities_of(runtime), unread, dialects)
    telemetry = telemetry_of(os.environ, app.metrics)
    problems = Problems(dialects)
    served = app
    if (told := runtime.pipeline.told) is not None:
        served = Forwarding(app, dialects, problems, Addresses(settings), lambda: told.worker_url)
        if (lag := runtime.pipeline.lag) is not None:
            served = Lagging(served, dialects, lag.lag_ms)
    server = _server(settings, served if telemetry is None else telemetry.around(served), unread, problems)

    async def main() -> None:
        try:
            await runtime.start()
            gc.freeze()  # so is what was opened: a collection of everything took 46 ms, and takes none
            _log.info("listening", url=f"http://{host}:{port}", data=str(settings.data))
            await server.serve(sockets=[listener])
        finally:
            server.arm_backstop()  # also after a failure
            await runtime.stop()
            if telemetry is not None:
                await asyncio.to_thread(telemetry.close)
        _log.info("stopped")

    _run(server, main())
    return 0


def work(settings: Settings, /, dialects: Sequence[Dialect] = DIALECTS) -> int:
    """Serve as a worker: stand by until no other is active, then be the active one, until told to stop or another takes over.

    If the log has several partitions, it stores its share of them in either state.

    Returns 1 in the latter case, so that whatever supervises this process starts it anew. Raises SettingsError.
    """
    candidate = Candidate(settings)
    listener = _listen(settings)
    host, port = listener.getsockname()[:2]
    unread = Unread(timeout_s=settings.reply_timeout_s, max_bytes=settings.max_unread_bytes)
    problems = Problems(dialects)
    share = share_of(settings)
    standby = Standby(problems, None if share is None else share.held)
    server = _server(settings, standby, unread, problems)
    has_lost = threading.Event()

    def lose() -> None:
        _log.error("another_worker_has_taken_over", what="this one ends; start it again, and it stands by")
        has_lost.set()
        server.should_exit = True

    async def main() -> None:
        serving = asyncio.ensure_future(server.serve(sockets=[listener]))
        _log.info("listening", url=f"http://{host}:{port}", data=str(settings.data))
        runtime: Runtime | None = None
        held = telemetry = None
        try:
            if share is not None:
                share.start()
            held = await _held_by(candidate, serving)
            if held is not None:
                url = url_of_worker(settings, port)
                runtime = await _opened(held, partial(open_runtime, settings, held, on_lost=lose, url=url, share=share))
                runtime.publish_address(host, port)
                await runtime.start()
                app = create_app(capabilities_of(runtime), unread, dialects)
                telemetry = telemetry_of(os.environ, app.metrics)
                _log.info("active", fence=held.lease.current.fence, process=held.leases.process, url=url)
                gc.freeze()
                standby.active = app if telemetry is None else telemetry.around(app)
            await serving
        finally:
            server.should_exit = True
            server.arm_backstop()
            if share is not None:
                await asyncio.to_thread(share.stop)
            if runtime is None:
                await asyncio.to_thread(candidate.close)
            else:
                await runtime.stop()
            if telemetry is not None:
                await asyncio.to_thread(telemetry.close)
            await asyncio.wait([serving])
        _log.info("stopped")

    _run(server, main())
    return int(has_lost.is_set())


async def _held_by(candidate: Candidate, serving: "asyncio.Future[None]") -> HeldPartition | None:
    """The partition, once it is this worker's; None if the server has stopped before."""
    has_told = False
    while not serving.done():
        held = await asyncio.to_thread(candidate.try_to_take)
        if held is not None:
            return held
        if not has_told:
            has_told = True
            _log.info("standing_by")
        await asyncio.wait([serving], timeout=_LOOK_FOR_LEASE_S)
    return None


async def _opened(held: HeldPartition, open_: Callable[[], Runtime]) -> Runtime:
    """The runtime. It may take longer to open than the lease lasts, and renews it only once it is started."""
    opening = asyncio.ensure_future(asyncio.to_thread(open_))
    while not (await asyncio.wait([opening], timeout=held.renew_every_s))[0]:
        await asyncio.to_thread(held.renew)
    return opening.result()


def _server(settings: Settings, app: Any, unread: Unread, problems: Problems) -> "_Server":
    return _Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=partial(  # pyright: ignore[reportArgumentType]
                Protocol,
                timeout_s=settings.body_timeout_s,
                query_grace_s=settings.shutdown_timeout_s * _QUERIES_SHARE,
                unread=unread,
                problems=problems,
            ),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("X-Content-Type-Options", "nosniff")],
            proxy_headers=False,
            limit_concurrency=_connections(settings.max_connections),
            timeout_keep_alive=math.ceil(settings.keep_alive_s),
            timeout_graceful_shutdown=math.ceil(settings.shutdown_timeout_s),
            backlog=_BACKLOG,
        )
    )


def _run(server: "_Server", main: Coroutine[Any, Any, None]) -> None:
    def stop(_signal: int, _frame: FrameType | None) -> None:
        """Handle a signal that arrives before uvicorn handles signals. (uvicorn raises a signal again when it is done.)"""
        server.should_exit = True
        server.arm_backstop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    logging.getLogger("uvicorn.error").disabled = True  # we log this ourselves

    with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
        runner.run(main)


class _Server(uvicorn.Server):
    """uvicorn's server, which the kernel ends if it does not end by itself."""

    def arm_backstop(self) -> None:
        """End the process after the grace period and a few seconds to store what is waiting."""
        if not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process without Python, which may be hanging
            signal.setitimer(signal.ITIMER_REAL, (self.config.timeout_graceful_shutdown or 0) + BACKSTOP_S)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.arm_backstop()
        super().handle_exit(sig, frame)


def _connections(wanted: int) -> int:
    """How many connections this process may hold besides the files of its engines. Raises the limit on open files accordingly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + FILES_OF_ENGINES
    if hard != resource.RLIM_INFINITY:
        files = min(files, hard)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    allowed = max(files - FILES_OF_ENGINES, files // 2)
    if allowed < wanted:
        _log.warning("fewer_connections", allowed=allowed, wanted=wanted, open_files=files)
    return min(wanted, allowed)


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)  # from now on, connections wait for the server instead of being refused
    except OSError as error:
        raise SettingsError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. Set HEADRACE_PORT or --port."
        ) from error
    return listener
