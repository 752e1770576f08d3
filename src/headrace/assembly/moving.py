"""Moves a data folder to a log, a control database and a store on servers: `headrace migrate-data`.

In order: events, control, the log's floor and dedup keys. Each step can be repeated, and a run that was killed is gone on with.
Only the last one lets a server start on them, and from then on the folder refuses to be served without them.
See docs/decisions/0173-moving-a-folder-to-servers.md.
"""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

import msgspec
from clickhouse_connect.driver.exceptions import ClickHouseError
from sqlalchemy import Engine as Control

from headrace.assembly import integrity, log, roles
from headrace.assembly import store as stores
from headrace.assembly.control import open_control
from headrace.assembly.folder import DataFolder
from headrace.control.audit import ControlAudit
from headrace.control.copying import copy_rows, is_empty, sums
from headrace.control.erasures import ControlErasedEvents
from headrace.control.offsets import ControlOffsets
from headrace.control.quarantine import ControlQuarantine
from headrace.control.reaction_states import CONSUMER as REACTIONS
from headrace.control.sessions import ControlSessions
from headrace.model.audit import Deed
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.settings import Settings
from headrace.ports.store import StoreFailed
from headrace.store.engine import Engine
from headrace.store.migrations import migrate
from headrace.store.moving import MovedEvents, MoveTarget
from headrace.store.upkeep import UpkeepReader
from headrace.upkeep.moving import move_events
from headrace.upkeep.relearn import relearn

_CONTROL = "control"


class Moved(msgspec.Struct, frozen=True):
    """What the servers have now: events, rows of the control database, and dedup keys that were learnt."""

    events: int
    rows: int
    keys: int


def migrate_data(
    settings: Settings,
    deed: Deed,
    /,
    *,
    show: Callable[[int, int], None] = lambda _done, _total: None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> Moved:
    """Move the data folder to the servers that the three URLs name, which must be empty, or hold an unfinished move of it.

    show: told how many events are done, and how many there are. on_step: called after each step.
    Raises SettingsError, Unavailable if a server fails, ControlFailed; the command can then be run again.
    """
    roles.require_urls(settings, "headrace migrate-data")
    own = msgspec.structs.replace(settings, log_url="", control_url="", store_url="")
    for name in ("control.sqlite", "log.sqlite"):
        if not (settings.data / name).is_file():
            raise SettingsError(
                f"There is no {name} in {settings.data}: set the data folder with --data or HEADRACE_DATA."
            )
    with ExitStack() as opened:
        folder = DataFolder(settings.data)
        opened.callback(folder.release)
        if damage := integrity.problems(own, quick=False):
            raise SettingsError(damage[0])
        old = open_control(own)
        opened.callback(old.dispose)
        done = min(ControlOffsets(old).position(), ControlOffsets(old, REACTIONS).position())
        log.require_drained(own, done)
        if problem := log.examine(settings):
            raise SettingsError(problem)
        new = open_control(settings)
        opened.callback(new.dispose)
        try:
            store = stores.open_store(own, None)
            opened.callback(store.close)
            engine = opened.enter_context(_open_target(settings))
            move = _Move(settings, old, new, MovedEvents(store.engine), engine, done, on_step)
            move.begin()
            events = move_events(move.source, move.target, show, on_step)
            on_step("events")
            rows = move.control()
            keys = move.log()
            ControlAudit(new).end(deed, "done")
            move.target.end()
        except StoreFailed as error:
            raise Unavailable(f"A store failed: {error}. Run the command again; it goes on where it ended.") from error
    return Moved(events, rows, keys)


class _Move:
    """The steps of a move, besides that of the events. done: the position up to which nobody needs the folder's log."""

    def __init__(
        self,
        settings: Settings,
        old: Control,
        new: Control,
        source: MovedEvents,
        engine: Engine,
        done: int,
        on_step: Callable[[str], None],
    ) -> None:
        self.source = source
        self.target = MoveTarget(engine)
        self._settings = settings
        self._old = old
        self._new = new
        self._engine = engine
        self._done = done
        self._on_step = on_step
        self._server = ControlSessions(old, lambda: 0).server_id()
        self._steps: set[str] = set()

    def begin(self) -> None:
        """Begin a run. Raises SettingsError if a server holds anything but what an earlier one of this folder has left."""
        runs = self.target.runs()
        self._steps = {step for _, step in runs}
        if any(server != self._server for server, _ in runs):
            raise SettingsError(
                "HEADRACE_STORE_URL: A move of another data folder into this store has not ended. Finish that one, or drop the "
                "database and make it anew."
            )
        if not runs:
            self._require_new()
        self.target.begin(self._server)
        self._on_step("begun")

    def _require_new(self) -> None:
        if shown := log.elsewhere(self._settings):
            raise SettingsError(
                f"{self._settings.data} has its log at {shown}, so it was moved already, or was served with HEADRACE_LOG_URL. To "
                "move a folder whose log is on a server, start it with that setting, stop it with SIGTERM, and start and stop "
                "it without."
            )
        if self.target.days():
            raise SettingsError("HEADRACE_STORE_URL: The store has events already: name an empty database.")
        if not is_empty(self._new):
            raise SettingsError(
                "HEADRACE_CONTROL_URL: The control database is not empty: create a new database, and name it."
            )
        if log.last_position_of(self._settings):
            raise SettingsError(
                "HEADRACE_LOG_URL: There is a log already: name another database number at the URL's end, such as /1."
            )

    def control(self) -> int:
        """Copy control in one transaction; how many rows it has."""
        ours = sums(self._old)
        if _CONTROL not in self._steps:
            if is_empty(self._new):
                copy_rows(self._old, self._new)
            self._on_step("control copied")
            theirs = sums(self._new)
            if wrong := [name for name, told in ours.items() if theirs[name] != told]:
                raise SettingsError(
                    f"HEADRACE_CONTROL_URL: The table {wrong[0]} there is not the folder's. Drop that database, create it anew, "
                    "and run the command again."
                )
            self.target.note(self._server, _CONTROL)
        self._on_step(_CONTROL)
        return sum(count for count, _ in ours.values())

    def log(self) -> int:
        """Make a log that gives no position again, and teach it the dedup keys; their number."""
        reader = UpkeepReader(self._engine)
        floor = max(self._done, reader.last(0), log.last_position(self._settings.data / log.FILE))
        made = log.LogOfFolder(self._settings, instance=self._server, floor=floor, done=self._done)
        self._on_step("log")
        try:
            if made.log.last() != floor:
                raise SettingsError(
                    "HEADRACE_LOG_URL: The log there has been used since it was made: name another database number at the URL's "
                    "end, such as /1."
                )
            keys = relearn(made.log, reader, ControlErasedEvents(self._new), ControlQuarantine(self._new))
        finally:
            made.log.close()
        self._on_step("keys")
        return keys


@contextmanager
def _open_target(settings: Settings) -> Generator[Engine]:
    """The store on the server, with its tables. Raises SettingsError."""
    if problem := stores.examine(settings):
        raise SettingsError(problem)
    engine = Engine(
        settings.store_url,
        query_timeout_s=settings.query_timeout_s,
        query_max_memory_bytes=settings.query_max_memory_bytes,
    )
    try:
        try:
            migrate(engine)
        except (ClickHouseError, StoreFailed) as error:
            raise SettingsError(f"HEADRACE_STORE_URL: The store there cannot be used: {error}") from error
        yield engine
    finally:
        engine.close()
