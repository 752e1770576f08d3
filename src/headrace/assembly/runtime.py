"""Puts the wings of a server in order, starts and stops them. Each is made in its own file of `wings/`."""

import asyncio
import time
from collections.abc import Callable

from headrace.assembly import integrity
from headrace.assembly.adapters import Adapters
from headrace.assembly.clock import clock_ms
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.gateway_adapters import GatewayAdapters
from headrace.assembly.loops import Loops
from headrace.assembly.roles import HeldPartition, LeaseWatch, Share
from headrace.assembly.serving_loop import ServingLoop
from headrace.assembly.signals import Signals
from headrace.assembly.struct_types import resolve_struct_types
from headrace.assembly.wings.access import access_of
from headrace.assembly.wings.erasures import erasures_of
from headrace.assembly.wings.journeys import journeys_of
from headrace.assembly.wings.live import live_of
from headrace.assembly.wings.people import people_of
from headrace.assembly.wings.pipeline import pipeline_of
from headrace.assembly.wings.queries import queries_of
from headrace.assembly.wings.reactions import reactions_of
from headrace.assembly.wings.replays import replays_of
from headrace.assembly.wings.upkeep import upkeep_of
from headrace.assembly.wings.webhooks import webhooks_of
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from headrace.pipeline.loop import Loop
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed
from headrace.upkeep.check import Report, check

_LONGEST_FIRST_TURN_S = 5.0


class Runtime:
    """A server without its HTTP. Open it anywhere, `start` and `stop` it on the event loop that serves."""

    def __init__(
        self,
        settings: Settings,
        *,
        held: HeldPartition | None = None,
        on_lost: Callable[[], None] = lambda: None,
        url: str = "",
        share: Share | None = None,
        on_step: Callable[[str], None] = lambda _step: None,
    ) -> None:
        """Open everything. Raises what `Adapters` raises.

        Of a worker beside others: held: its partition. on_lost: called once another has taken that. url: where gateways reach it.
        share: what it stores of a log with several partitions, which whoever made it starts and stops.
        """
        self.settings = settings
        self.share = share
        signals, self._serving = Signals(), ServingLoop()
        is_gateway = settings.role == "gateway"
        self._adapters = adapters = GatewayAdapters(settings) if is_gateway else Adapters(settings, held)
        self.log, self.store = adapters.log, adapters.store
        self.log_watch = adapters.log_watch if isinstance(adapters, GatewayAdapters) else None
        self.damage = adapters.damage  # what is wrong with files, as of startup or the last check
        self.missing = adapters.missing  # files that were missing at startup
        self.control = control = ControlAdapters(adapters, settings, on_enqueued=signals.enqueued)
        opened = settings, adapters, control

        self.access = access = access_of(*opened)
        self.reacting = reacting = reactions_of(adapters, control, signals)
        self.pipeline = pipeline = pipeline_of(*opened, reacting, signals, on_step, url)
        self.people = people_of(adapters, control, reacting, pipeline)
        self.queries = queries = queries_of(settings, adapters, pipeline)
        self.journeys = journeys_of(*opened, reacting, pipeline, self._serving, signals, on_step)
        self.replays = replays_of(*opened, reacting, pipeline, queries, self._serving, on_step)
        self.webhooks = webhooks = webhooks_of(*opened, pipeline, signals, on_step)
        self.live = live_of(adapters, pipeline, signals)
        self.erasures = erasures = erasures_of(adapters, control, pipeline, webhooks, signals, on_step)
        self.upkeep = upkeep_of(*opened, access, pipeline, queries, erasures, on_step)
        self._loops = self._of_gateway() if is_gateway else self._ordered(on_lost)
        self.started_at_ms = clock_ms()
        self._started = time.monotonic()

    def _of_gateway(self) -> Loops:
        """Those of a process that stores nothing and reacts to nothing."""
        own = [self.pipeline.intake, self.live.sampling, self.upkeep.bookkeeping]
        told = [] if self.pipeline.told is None else [self.pipeline.told]
        if self.log_watch is not None:
            own.append(self.log_watch.loop)
        return Loops(starting=[*told, *own], stopping=[*own[::-1], *told])

    def _ordered(self, on_lost: Callable[[], None]) -> Loops:
        """The loops of all wings, in the orders in which they start and stop."""
        pipeline, webhooks, upkeep = self.pipeline, self.webhooks, self.upkeep
        leases = self._adapters.leases  # of no length where no other server can hold them
        watch = LeaseWatch(leases, self._adapters.lease if self.settings.role == "worker" else None, on_lost)
        renewal = [] if leases.length_s is None else [Loop("leases", watch.step, idle_s=leases.length_s / 3)]
        telling = [] if pipeline.feed is None else [pipeline.feed]
        exporting = [] if upkeep.continuous is None else [upkeep.continuous.loop]
        return Loops(
            starting=(
                *renewal,  # first, because the others work under these leases
                pipeline.worker,  # asks the store what it has, before anything is added
                pipeline.reactor,
                pipeline.intake,
                self.journeys.timers.loop,
                self.replays.runner.loop,
                webhooks.deliverer,
                webhooks.feed.loop,
                self.live.hub.loop,
                self.erasures.eraser.loop,
                self.erasures.pruner.loop,
                upkeep.columns,
                self.live.sampling,
                upkeep.bookkeeping,
                *exporting,
                *telling,
            ),
            stopping=(
                # Whatever only reads, or makes work for the rest: erasures and timers append to the log.
                self.live.sampling,
                *exporting,
                self.live.hub.loop,
                upkeep.columns,
                self.erasures.pruner.loop,
                self.erasures.eraser.loop,
                self.replays.runner.loop,
                self.journeys.timers.loop,
                # The way of an event: append what waits, insert it, react to it, deliver it.
                pipeline.intake,
                pipeline.worker,
                pipeline.reactor,
                webhooks.feed.loop,
                webhooks.deliverer,
                # What the others need until they have ended.
                *telling,
                upkeep.bookkeeping,
                *renewal,
            ),
        )

    def uptime_s(self) -> float:
        """Seconds since the server was opened, whatever the wall clock did."""
        return time.monotonic() - self._started

    async def start(self) -> None:
        resolve_struct_types()
        self._serving.start()
        self.pipeline.freshness.start()
        self.people.freshness.start()
        for each in self._loops.starting:
            each.start()
            if each is self.pipeline.worker:
                # So that the server is ready once it has announced its address, unless that takes long.
                await asyncio.to_thread(self.pipeline.worker.wait_until_tried, _LONGEST_FIRST_TURN_S)

    async def stop(self) -> None:
        """Append waiting events, drain the log into the store, and close everything."""
        self.upkeep.tasks.stop()
        for each in self._loops.stopping:
            await asyncio.to_thread(each.stop)
        self.close()

    def close(self) -> None:
        """Close everything, and release the folder for the next server."""
        self.queries.close()
        self.pipeline.current.close()
        self._adapters.close()

    def publish_address(self, host: str, port: int) -> None:
        """Publish where this server listens, for the commands on this machine that talk to it."""
        if self.pipeline.told is None:  # a gateway does nothing for them
            self._adapters.folder.publish(host, port, self.access.local_token)

    def visible(self) -> int:
        """The position up to which the store has every event, as far as this process knows. Raises ControlFailed."""
        return self.pipeline.visible() or self._adapters.offsets.position()  # before the worker has begun

    def done(self) -> int:
        """The position up to which everything is stored and was reacted to, according to control. Raises ControlFailed."""
        return self._adapters.done()

    def check(self) -> Report:
        """Compare the log, the store and control. Slow: not for the event loop's thread."""
        self.damage = integrity.problems(self.settings, quick=False)
        return check(
            *(self.log, self.store, self._adapters.offsets, self._adapters.erased, self._adapters.quarantine),
            damage=self.damage,
            is_erasing=lambda: bool(self.control.erasures.open()),
        )


def open_runtime(
    settings: Settings,
    /,
    held: HeldPartition | None = None,
    *,
    on_lost: Callable[[], None] = lambda: None,
    url: str = "",
    share: Share | None = None,
) -> Runtime:
    """Open a server's runtime: see `Runtime`. Raises SettingsError, with one line, if it cannot be opened, and Unavailable."""
    try:
        return Runtime(settings, held=held, on_lost=on_lost, url=url, share=share)
    except StoreFailed as error:
        raise SettingsError(f"The store in {settings.data} cannot be opened: {error}") from error
    except ControlFailed as error:
        raise SettingsError(f"{error} `headrace check` says more.") from error
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise SettingsError(
            f"The data folder {settings.data} cannot be used: {error.strerror or error}{where}. "
            "Everything in it must belong to the user that runs the server, and be a file or folder that the server created."
        ) from error
