"""Puts the parts of a server together, starts and stops them. Each part is described in its own file."""

import asyncio
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial

from headrace.assembly import integrity
from headrace.assembly.adapters import Adapters
from headrace.assembly.admission import Admission
from headrace.assembly.backups import Backups
from headrace.assembly.clock import clock_ms
from headrace.assembly.column_keeping import column_keeper_of
from headrace.assembly.console import ConsoleAdmission
from headrace.assembly.control_adapters import ControlAdapters
from headrace.assembly.deliveries import sender_of
from headrace.assembly.export_targets import continuous_export_of
from headrace.assembly.load import ServerLoad
from headrace.assembly.loops import Loops
from headrace.assembly.people_freshness import PeopleFreshness, merged_ids, whole_person
from headrace.assembly.rate_limits import RateLimits, limits_of
from headrace.assembly.throughput import STEP_S, Throughput
from headrace.control.journey_messages import RunReplies
from headrace.control.keyring import Keyring
from headrace.control.scratch import ScratchFile
from headrace.delivery.addresses import parse_networks
from headrace.delivery.deliverer import Deliverer
from headrace.delivery.feed import EventFeed
from headrace.dialects.native import render_event_data
from headrace.dialects.native_live import render_live_row
from headrace.dialects.statements import statement_of
from headrace.model.batch import Item
from headrace.model.entries import Kind, Receipt
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.event import Tenant
from headrace.model.journeys import RunState
from headrace.model.settings import Settings
from headrace.pipeline.commands import Commands
from headrace.pipeline.current_event import CurrentEventFile
from headrace.pipeline.freshness import Freshness
from headrace.pipeline.holds import ErasureHolds
from headrace.pipeline.intake import Intake
from headrace.pipeline.journeys import RunChanges, Versions, WatchedStates
from headrace.pipeline.live import LiveHub
from headrace.pipeline.loop import Loop
from headrace.pipeline.only_partition import OnlyPartition
from headrace.pipeline.overruns import OverrunWatch
from headrace.pipeline.people import PeopleAdmin, PeopleStage
from headrace.pipeline.queries import QuerySlots
from headrace.pipeline.reactions import Reactions
from headrace.pipeline.reactor import Reactor
from headrace.pipeline.recent_records import RecentRecords
from headrace.pipeline.rulesets import RuleCache, RuleTimelines
from headrace.pipeline.statement_watch import StatementWatch
from headrace.pipeline.timers import Timers
from headrace.pipeline.worker import Worker
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed
from headrace.reactions.overruns import Limits
from headrace.replay.jobs import ReplayRunner
from headrace.replay.pace import Pace
from headrace.replay.rebuild import Rebuild
from headrace.replay.rehearsal import Rehearsals
from headrace.store.remembering import RememberingReader
from headrace.upkeep.bookkeeping import BOOKKEEPING_S, Bookkeeping
from headrace.upkeep.check import Report, check
from headrace.upkeep.erasing import Eraser
from headrace.upkeep.importing import Importer
from headrace.upkeep.notices import Notices
from headrace.upkeep.prune import Pruner
from headrace.upkeep.quarantine import QuarantineDesk

_AT_ONCE = 500
_LONGEST_FIRST_TURN_S = 5.0


class Runtime:
    """A server without its HTTP. Open it anywhere, `start` and `stop` it on the event loop that serves."""

    def __init__(self, settings: Settings, *, on_step: Callable[[str], None] = lambda _step: None) -> None:
        """Open everything. Raises what `Adapters` raises."""
        self.settings = settings
        self.allowed_networks = parse_networks(settings.webhook_allowed_networks)
        self._adapters = adapters = Adapters(settings)
        self.log, self.store = adapters.log, adapters.store
        self.damage = adapters.damage  # what is wrong with files, as of startup or the last check
        self.missing = adapters.missing  # files that were missing at startup
        self.control = control = ControlAdapters(adapters, settings, on_enqueued=self._on_enqueued)
        self.rule_cache = RuleCache(control.rulebook)
        timelines = RuleTimelines(control.rulebook, control.journeys)
        states = WatchedStates(control.reaction_states, self._on_runs_changed, control.people)
        self.reactions = Reactions(states, timelines, clock_ms, adapters.erased)
        self.people_admin = PeopleAdmin(control.people, control.people_states, states, self.reactions)
        self.watch = StatementWatch(self.log.last())
        self.local_token = secrets.token_urlsafe(32)
        self.notices = Notices(control.erasure_notices, control.backup_folders)
        keyring = Keyring(control.keys, settings.admin_key, clock_ms)
        bookkeeping = Bookkeeping(
            control.tenant_keys,
            control.audit,
            take_used=keyring.take_used,
            keep_ms=int(settings.audit_keep_s * 1000),
            clock_ms=clock_ms,
            tell_backups=self.notices.retry,
        )
        keeping = Loop("bookkeeping", bookkeeping.step, idle_s=BOOKKEEPING_S, drain=True)
        limits = RateLimits(limits_of(settings))
        self.admission = Admission(keyring, limits, self.local_token)
        self.console = ConsoleAdmission(
            *(control.sessions, keyring, limits),
            admin_key=settings.admin_key,
            attempts=settings.console_attempts,
            clock_ms=clock_ms,
        )
        self.quarantine = QuarantineDesk(
            *(adapters.quarantine, self.log, self.store),
            in_worker=lambda work: self.worker.run(work),  # noqa: PLW0108  the worker is made with this, and so after it
            react=self._react_again,
            clock_ms=clock_ms,
        )
        self._is_log_held = False  # so that a copy of it has what the copy of control lacks
        self.backups = Backups(
            settings,
            adapters.control,
            self.store,
            folders=control.backup_folders,
            notices=self.notices,
            hold_trims=partial(self._hold_log, True),
            release_trims=partial(self._hold_log, False),
        )
        self.hub = LiveHub(render=render_live_row, want=self._want_stored, last=self.log.last)
        holds = ErasureHolds(control.erasures, self._on_placed)
        recent = RecentRecords()
        self.worker = Worker(
            self.log,
            self.store,
            adapters.offsets,
            settings,
            erased=adapters.erased,
            put_aside=self.quarantine,
            commands=Commands({Kind.ERASURE: holds.read}),
            needed_from=self._reactions_committed,
            on_progress=self._on_stored,
            on_stored=self.hub.offer,
            recent=recent,
            clock_ms=clock_ms,
            probe=adapters.probe,
            settle=adapters.store.settle,
            spare_log_bytes=adapters.spare_log_bytes,
            on_step=on_step,
        )
        self._current = CurrentEventFile(settings.data / "reacting")
        self.reactor = Reactor(
            states,
            timelines,
            self.reactions,
            log=self.log,
            store=self.store,
            visible=lambda: self.worker.progress.visible,
            current=self._current,
            people=PeopleStage(
                control.people_states, adapters.erased, statement_of, placeholders=settings.people_placeholders
            ),
            watch=self.watch,
            overruns=OverrunWatch(
                control.overruns, Limits(settings.put_aside_events, int(settings.put_aside_s * 1000))
            ),
            holds=holds,
            recent=recent,
            on_progress=self._on_reacted,
            on_step=on_step,
        )
        self.freshness = Freshness(
            tails=self.log.tails,
            progress=OnlyPartition(
                visible=lambda: self.worker.progress.visible, reacted=self.reactor.reacted, want=self.worker.want
            ),
            freshness_timeout_s=settings.freshness_timeout_s,
            sync_deadline_s=settings.sync_deadline_s,
            stuck=lambda: self.worker.stuck,
            reactions_stuck=lambda: self.reactor.stuck,
        )
        self.people_freshness = PeopleFreshness(self.freshness, self.watch, self.log.tails)
        self.store.know_people(whole_person(control.people, self.people_freshness))
        self.store.know_merged(merged_ids(control.merged_ids, self.people_freshness))
        self.queries = QuerySlots(
            RememberingReader(self.store),
            fresh=self.freshness.visible,
            running=settings.query_readers,
            waiting=settings.query_queue,
            patience_s=settings.query_wait_s,
            write_wait_s=lambda: self.intake.longest_wait_s(),  # noqa: PLW0108  made below
            on_rest=self._on_queries_rest,
            clock_ms=clock_ms,
        )
        self.importer = Importer(self.store, adapters.erased)
        self.intake = Intake(
            self.log,
            max_queue_bytes=settings.intake_queue_bytes,
            on_append=self.worker.notify,
            **adapters.append_limits,
        )
        self.run_changes = RunChanges(states, self.reactions, Versions(control.journeys))
        self.timers = Timers(
            control.journey_work,
            control.journey_work,
            self.run_changes,
            accept=self._accept,
            last=self.log.last,
            reacted=self.reactor.reacted,
            holds=holds,
            want=self.worker.want,
            clock_ms=clock_ms,
            on_step=on_step,
            look_every_s=adapters.leases.length_s,
            pruning=control.journey_work,
            keep_ms=int(settings.journey_keep_s * 1000),
        )
        control.replies.register(RunReplies(control.journey_work, clock_ms, self.timers.on_reply))
        self.rebuild = Rebuild(control.settlement, self.reactions.payers, clock_ms)
        load = ServerLoad(self.log, self.worker, self.queries, settings.flush_interval_ms)
        new_pace = partial(Pace, settings.replay_share, is_quiet=load.is_quiet, ask=self._ping_loop)
        self.replay_runner = ReplayRunner(
            control.replay_jobs,
            self.store,
            self.reactions,
            pace=new_pace(),
            reacted=self.reactor.reacted,
            is_busy=load.is_worker_busy,
            clock_ms=clock_ms,
            rebuild=self.rebuild,
            on_step=on_step,
            look_every_s=adapters.leases.length_s,
        )
        self.rehearsals = Rehearsals(
            self.store,
            states,
            lambda over: Reactions(over, timelines, clock_ms),
            self.rebuild,
            scratch=partial(ScratchFile, settings.data),
            pace=new_pace,
        )
        self.deliverer = Deliverer(
            control.deliveries,
            adapters.leases,
            partial(sender_of, settings, self.allowed_networks),
            clock_ms=clock_ms,
            on_step=on_step,
        )
        self.event_feed = EventFeed(
            control.event_feed,
            self.store,
            render_event_data,
            visible=lambda: self.worker.progress.visible,
            lease=lambda: self.deliverer.lease,
            on_enqueued=self._on_enqueued,
            clock_ms=clock_ms,
        )
        continuous = continuous_export_of(
            settings, adapters.control, self.store, visible=lambda: self.worker.progress.visible
        )
        self.eraser = Eraser(
            *(control.erasures, control.forgetting, adapters.erased),
            people=control.people,
            log=self.log,
            store=self.store,
            put_aside=self.quarantine,
            holds=holds,
            watch=self.watch,
            has_passed=self.reactor.has_passed,
            feed_paused=self.event_feed.paused,
            on_append=self.worker.notify,
            on_detached=self._on_detached,
            tell_backups=self.notices.tell,
            clock_ms=clock_ms,
            on_step=on_step,
        )
        self.pruner = Pruner(
            *(self.store, self.log, adapters.offsets, control.reaction_states, adapters.erased, control.retentions),
            clock_ms=clock_ms,
            on_step=on_step,
        )
        length_s = adapters.leases.length_s  # None where no other server can hold them
        renewal = [] if length_s is None else [Loop("leases", adapters.renew_leases, idle_s=length_s / 3)]
        self.column_keeper = column_keeper_of(settings, self.store.own, on_step)
        self.throughput = Throughput(lambda: self.worker.progress.stored_events, clock_ms)
        sampling = Loop("throughput", self.throughput.sample, idle_s=STEP_S)
        exporting = [] if continuous is None else [continuous.loop]
        self._loops = Loops(
            starting=(
                *renewal,  # first, because the others work under these leases
                self.worker,  # asks the store what it has, before anything is added
                self.reactor,
                self.intake,
                self.timers.loop,
                self.replay_runner.loop,
                self.deliverer,
                self.event_feed.loop,
                self.hub.loop,
                self.eraser.loop,
                self.pruner.loop,
                self.column_keeper,
                sampling,
                keeping,
                *exporting,
            ),
            stopping=(
                # Whatever only reads, or makes work for the rest: erasures and timers append to the log.
                sampling,
                *exporting,
                self.hub.loop,
                self.column_keeper,
                self.pruner.loop,
                self.eraser.loop,
                self.replay_runner.loop,
                self.timers.loop,
                # The way of an event: append what waits, insert it, react to it, deliver it.
                self.intake,
                self.worker,
                self.reactor,
                self.event_feed.loop,
                self.deliverer,
                # What the others need until they have ended.
                keeping,
                *renewal,
            ),
        )
        self.started_at_ms = clock_ms()
        self._started = time.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None

    def uptime_s(self) -> float:
        """Seconds since the server was opened, whatever the wall clock did."""
        return time.monotonic() - self._started

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.freshness.start()
        self.people_freshness.start()
        for each in self._loops.starting:
            each.start()
            if each is self.worker:
                # So that the server is ready once it has announced its address, unless that takes long.
                await asyncio.to_thread(self.worker.wait_until_tried, _LONGEST_FIRST_TURN_S)

    async def stop(self) -> None:
        """Append waiting events, drain the log into the store, and close everything."""
        for each in self._loops.stopping:
            await asyncio.to_thread(each.stop)
        self.close()

    def close(self) -> None:
        """Close everything, and release the folder for the next server."""
        self.queries.close()
        self._current.close()
        self._adapters.close()

    def publish_address(self, host: str, port: int) -> None:
        """Publish where this server listens, for the commands on this machine that talk to it."""
        self._adapters.folder.publish(host, port, self.local_token)

    def visible(self) -> int:
        """The position up to which the store has every event, as far as this process knows. Raises ControlFailed."""
        return self.worker.progress.visible or self._adapters.offsets.position()  # before the worker has begun

    def check(self) -> Report:
        """Compare the log, the store and control. Slow: not for the event loop's thread."""
        self.damage = integrity.problems(self.settings, quick=False)
        return check(
            *(self.log, self.store, self._adapters.offsets, self._adapters.erased, self._adapters.quarantine),
            damage=self.damage,
            is_erasing=lambda: bool(self.control.erasures.open()),
        )

    def _react_again(self, tenant: Tenant, event_ids: Sequence[str]) -> None:
        """React to events that were stored out of their turn. Raises Unavailable, InvalidRequest."""
        for start in range(0, len(event_ids), _AT_ONCE):
            found = self.store.get(tenant, event_ids[start : start + _AT_ONCE])
            events = [event for event in found if not event.is_history]
            self.reactions.replay(tenant, events, force=False, dry_run=False)

    def _reactions_committed(self) -> int:
        if self.log.size_bytes() > self._adapters.spare_log_bytes:
            self.reactor.release_log()
        return 0 if self._is_log_held else self.reactor.committed()

    def _hold_log(self, held: bool) -> None:
        self._is_log_held = held

    def _on_stored(self) -> None:
        self.freshness.advance()
        self.reactor.wake()
        self.event_feed.wake()

    def _want_stored(self, position: int) -> None:
        self.worker.want(position)

    def _on_queries_rest(self, rest: float) -> None:
        self.worker.ease = rest

    def _on_enqueued(self, webhooks: Collection[int]) -> None:
        self.deliverer.enqueued(webhooks)

    def _on_reacted(self) -> None:
        self.freshness.advance()
        self.timers.on_reacted()
        self.eraser.on_reacted()

    def _on_placed(self) -> None:
        self.eraser.loop.wake()

    def _on_detached(self) -> None:
        self.reactor.wake()
        self.timers.on_lifted()

    def _on_runs_changed(self, tenant: Tenant, state: RunState) -> None:
        self.timers.on_changed(tenant, state)

    def _accept(self, items: Sequence[Item]) -> list[Receipt]:
        """Make events durable, from a thread other than the event loop's. Raises Unavailable."""
        if self._loop is None:
            raise Unavailable("The server is starting.")
        return asyncio.run_coroutine_threadsafe(self.intake.accept(items), self._loop).result()

    def _ping_loop(self) -> Callable[[], float]:
        """Ping the event loop. The returned function gives the seconds until it answered, or so far."""
        asked, answered = time.monotonic(), list[float]()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: answered.append(time.monotonic()))
        return lambda: (answered[0] if answered else time.monotonic()) - asked


def open_runtime(settings: Settings, /) -> Runtime:
    """Open a server's runtime. Raises SettingsError, with a message of one line, if it cannot be opened, and Unavailable."""
    try:
        return Runtime(settings)
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
