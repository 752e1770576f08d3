"""Restores a snapshot: into a new data folder, and into whichever empty servers the settings name.

What is on servers is filled while the data folder is still a draft. The store carries a mark meanwhile, with which no server
opens it, and control comes last, in one transaction. A restore that was killed is run again, and begins anew.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import msgspec
from sqlalchemy import Engine

from headrace.assembly.erasing_again import erase_people_again
from headrace.assembly.folder import require_no_dead_link
from headrace.assembly.log import require_no_log
from headrace.assembly.store import shown_url
from headrace.control.audit import ControlAudit
from headrace.control.copying import copy_from_file, is_empty, require_empty
from headrace.control.database import open_database
from headrace.control.erasure_notices import ControlErasureNotices
from headrace.control.erasures import ControlErasedEvents
from headrace.model.audit import Deed
from headrace.model.erasure import Notice
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from headrace.ports.store import StoreFailed
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.restoring import RestoreMark
from headrace.upkeep.durable import remove
from headrace.upkeep.notices import notices_in
from headrace.upkeep.restore import Restored, RestoredStore, StagedStore, restore

_CONTROL = "control.sqlite"


def restore_into(
    settings: Settings,
    folder: Path,
    deed: Deed,
    /,
    *,
    snapshot: str | None = None,
    erased_in: str | None = None,
    on_step: Callable[[str], None] = lambda _step: None,
) -> Restored:
    """Restore a snapshot into the settings' data folder, and into the servers that they name for log, store and control.

    deed: what the audit there says. erased_in: the data folder that the snapshot was taken of, or its PostgreSQL's URL.
    on_step: called after each step of what has to be done before the folder gets its name. Raises what `restore` raises, and
    SettingsError for a server that is not empty.
    """
    require_no_dead_link(settings.data)
    if settings.log_url:
        require_no_log(settings)
    later = notices_in(folder)
    with ExitStack() as held:
        servers = held.enter_context(_servers(settings))
        erased_later = None
        if erased_in is not None:
            control = _control_of(erased_in)
            held.callback(control.dispose)
            told = {each.erasure for each in later}
            later += [each for each in ControlErasureNotices(control).notices(0) if each.erasure not in told]
            erased_later = ControlErasedEvents(control)
        return restore(
            folder,
            settings.data,
            servers.opened,
            snapshot=snapshot,
            erased_later=erased_later,
            begin=servers.begin,
            finish=lambda draft: servers.finish(draft, deed, later, on_step),
            open_staged=_staged if settings.store_url else None,
        )


def _control_of(backed_up: str) -> Engine:
    """The control database of what was backed up. Raises SettingsError if there is none."""
    if "://" not in backed_up:
        if not (path := Path(backed_up) / _CONTROL).is_file():
            raise SettingsError(f"There is no {_CONTROL} in {backed_up}.")
        return open_database(path)
    try:
        has_secret = urlsplit(backed_up).password is not None
    except ValueError as error:
        raise SettingsError("--erasures-of: Expected a folder, or postgresql://user@host:5432/database.") from error
    if has_secret:
        raise SettingsError(
            "--erasures-of: Others on this machine can read a password on the command line. "
            "Leave it out of the URL, and put it into PGPASSWORD or ~/.pgpass."
        )
    control = open_database(backed_up)
    if is_empty(control):
        control.dispose()
        raise SettingsError("--erasures-of: No server has used that database.")
    return control


class _Servers:
    """What the settings name, beside the folder. mark: of a store on a server."""

    def __init__(self, settings: Settings, mark: RestoreMark | None) -> None:
        """Raises SettingsError unless each is empty, or has only what a restore that was killed has left. Raises StoreFailed."""
        self._settings = settings
        self._mark = mark
        self._into_control = f"control {blake2b(settings.control_url.encode(), digest_size=16).hexdigest()}"
        reached = mark.step() if mark is not None else None
        if mark is not None and reached is None and (events := mark.events()):
            raise SettingsError(
                f"HEADRACE_STORE_URL: The store at {shown_url(settings.store_url)} is not empty: it has {events} events. "
                "Create a new database, and name it."
            )
        # From here on only that restore can have written to this database: no server has opened its store since.
        self._replaces_control = reached == self._into_control
        if settings.control_url and not self._replaces_control:
            require_empty(settings.control_url)

    def begin(self) -> None:
        """The snapshot is whole: from now on something is written. Raises StoreFailed."""
        if self._mark is not None:
            self._mark.begin()
            if self._replaces_control:
                self._mark.note(self._into_control)

    @contextmanager
    def opened(self, draft: Path) -> Generator[tuple[RestoredStore, ControlErasedEvents]]:
        """The store that is filled, and the list of erased events of the control that is in the draft."""
        control = open_database(draft / _CONTROL)
        try:
            with _store(self._settings.store_url or _embedded_in(draft)) as store:
                yield cast("RestoredStore", store), ControlErasedEvents(control)
        finally:
            control.dispose()

    def finish(self, draft: Path, deed: Deed, notices: Sequence[Notice], on_step: Callable[[str], None]) -> int:
        """Do what is left before the folder gets its name; how many erasures of people were repeated."""
        settings = self._settings
        on_step("filled")
        # With log and control in the draft: nothing is on a server yet that a killed restore could not leave there. This log has
        # the entries of all partitions.
        own = msgspec.structs.replace(settings, data=draft, control_url="", log_url="", role="all", log_partitions=1)
        repeated = erase_people_again(own, notices, leaves_log=not settings.log_url, on_step=on_step)
        control = open_database(draft / _CONTROL)
        ControlAudit(control).end(deed, "done")
        control.dispose()
        on_step("repeated")
        if settings.log_url:
            for each in draft.glob("log.*"):  # everything in it is stored and was reacted to
                remove(each)
        if settings.control_url:
            if self._mark is not None:
                self._mark.note(self._into_control)
            # All or nothing. Without a mark, a crash before the folder gets its name leaves a database to empty by hand.
            copy_from_file(draft / _CONTROL, settings.control_url, replaces=self._replaces_control)
            on_step("controlled")
            for each in draft.glob(f"{_CONTROL}*"):
                each.unlink()
        if self._mark is not None:
            self._mark.end()
        on_step("finished")
        return repeated


@contextmanager
def _servers(settings: Settings) -> Generator[_Servers]:
    if not settings.store_url:
        yield _Servers(settings, None)
        return
    if not settings.control_url:
        raise SettingsError("HEADRACE_STORE_URL needs HEADRACE_CONTROL_URL: name an empty database there, too.")
    shown = shown_url(settings.store_url)
    mark = RestoreMark(settings.store_url)
    try:
        yield _Servers(settings, mark)
    except StoreFailed as error:
        raise SettingsError(f"HEADRACE_STORE_URL: The store at {shown} cannot be used: {error}") from error
    finally:
        mark.close()


@contextmanager
def _staged(draft: Path) -> Generator[StagedStore]:
    """The draft's own store, for parts that a store on a server cannot take."""
    with _store(_embedded_in(draft)) as store:
        yield store
    remove(draft / "store")


@contextmanager
def _store(dsn: str) -> Generator[ClickHouseStore]:
    store = ClickHouseStore(dsn)
    try:
        yield store
    finally:
        store.close()


def _embedded_in(folder: Path) -> str:
    return f"chdb://{folder.resolve() / 'store'}"
