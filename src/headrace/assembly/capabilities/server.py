"""How the server is doing, and the entries that were put aside: for monitoring and for whoever runs it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec

from headrace.assembly.backups import parse_backup
from headrace.assembly.capabilities.asking import ask_control
from headrace.assembly.figures import Figure, figures
from headrace.assembly.runtime import Runtime
from headrace.assembly.status import status_of
from headrace.assembly.throughput import Throughput
from headrace.model.errors import InvalidRequest, Unavailable
from headrace.model.event import Tenant
from headrace.model.status import Status
from headrace.pipeline.quarantine import WHAT_TO_DO
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed
from headrace.upkeep.quarantine import Asked, answer

# Which part is failing, by how its errors begin.
_PARTS = (("The control database", "control database"), ("The log", "log"), ("A part of the log", "log"))


class ServerStatus:
    """How the server is doing."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def hindrance(self) -> str:
        """What currently keeps events from being stored, or, at a gateway, from being accepted; "" if nothing does."""
        if (told := self._runtime.pipeline.told) is not None:
            if self._runtime.log_watch is not None and self._runtime.log_watch.other:
                return "the workers have another log: restart this gateway with their HEADRACE_LOG_URL"
            return "the log is failing; see the log" if told.failing else ""
        failing = self._runtime.pipeline.worker.failing
        if failing:
            part = next((name for sign, name in _PARTS if failing.startswith(sign)), "store")
            return f"the {part} is failing; see the log"
        return (
            ""
            if self._runtime.pipeline.worker.progress.ready
            else "starting: nothing could be written to the store yet"
        )

    def problems(self) -> list[str]:
        """Other problems, one sentence each, with what to do."""
        if (told := self._runtime.pipeline.told) is not None:
            if not told.has_worker:
                return ["no worker is active: events are accepted, and queries wait for them; see that one runs"]
            stuck = [("stored", told.stuck), ("reacted to", told.reactions_stuck)]
            return [f"events are accepted but not {what}: see the worker's log" for what, why in stuck if why]
        aside = self._runtime.pipeline.quarantine.count
        listed = [f"{aside} acknowledged entries are put aside: {WHAT_TO_DO}"] if aside else []
        # Does not say which file: anybody may ask, and the details for the operator name folders.
        damaged = ["a file of the data folder is damaged: `headrace check` says which, and how to mend it"]
        reacting = ["events are stored but not reacted to: the reactions are failing; see the log"]
        stuck = reacting if self._runtime.pipeline.reactor.stuck else []
        lacking = ["a file of the data folder was missing at startup: the log says which, and what to do"]
        missing = lacking if self._runtime.missing else []
        return [*(damaged if self._runtime.damage else []), *missing, *stuck, *listed]

    def role(self) -> str:
        """What this process does of a server's work; "" if everything."""
        role = self._runtime.settings.role
        return "" if role == "all" else role

    def promise_of_log(self) -> str:
        """What the log's server promises of acknowledged events; "" if the log is in the data folder, on disk."""
        return self._runtime.log.durability if self._runtime.settings.log_url else ""

    def stale_reads(self) -> bool:
        """Whether queries are answered while the log cannot be asked."""
        return self._runtime.settings.stale_reads == "on"

    @property
    def throughput(self) -> Throughput:
        return self._runtime.live.throughput

    async def report(self, tenant: Tenant, /, *, is_operator: bool) -> Status:
        """A tenant's status; operators also get the figures of all projects together. Raises Unavailable."""
        whole = is_operator or self._runtime.settings.status_figures == "everyone"
        return await ask_control(lambda: status_of(self._runtime, tenant, whole=whole))

    def figures(self) -> Iterator[Figure]:
        """Slow: not for the event loop's thread."""
        return figures(self._runtime)

    async def check(self) -> object:
        """Compare the log, the store and control: see `upkeep.check`. Raises Unavailable."""
        try:
            return await asyncio.to_thread(self._runtime.check)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The check failed: {error}") from error

    async def columns(self) -> object:
        """The columns of tags and properties: see `upkeep.own_columns`. Raises Unavailable."""
        try:
            return await asyncio.to_thread(self._runtime.upkeep.columns.listed)
        except StoreFailed as error:
            raise Unavailable(str(error)) from error


class QuarantineAdmin:
    """Entries that were put aside: see `upkeep.quarantine`. One call at a time; others wait for it."""

    def __init__(self, runtime: Runtime) -> None:
        self._desk = runtime.pipeline.quarantine
        self._lock = asyncio.Lock()

    def parse(self, body: bytes, /) -> Asked:
        """A request of `headrace quarantine`. Raises InvalidRequest."""
        try:
            return msgspec.json.decode(body, type=Asked)
        except msgspec.DecodeError as error:
            raise InvalidRequest(f"{error}.") from None

    async def ask(self, asked: Asked, /) -> object:
        """Answer a request of `headrace quarantine`. Raises NotFound, Unavailable."""
        try:
            async with self._lock:
                return await asyncio.to_thread(answer, self._desk, asked)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(str(error)) from error


class BackupAdmin:
    """Backups: see `upkeep.backup`."""

    def __init__(self, runtime: Runtime) -> None:
        self._backups = runtime.upkeep.backups

    async def make(self, body: bytes, /) -> object:
        """Do what `headrace backup` asks for. Raises InvalidRequest, Unavailable."""
        asked = parse_backup(body)
        try:
            if asked.forget:
                return await asyncio.to_thread(self._backups.forget, Path(asked.folder))
            return await asyncio.to_thread(self._backups.make, Path(asked.folder), asked.keep)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The backup failed: {error}") from error
