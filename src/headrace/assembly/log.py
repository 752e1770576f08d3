"""Opens the log: the file in the data folder, or the Valkey server that `log_url` names, whose driver is imported only then.

A folder whose log is on a server has a note of that (`log.json`), which a shutdown marks as settled if it leaves nothing there
that the store lacks. So neither a switch of logs nor a server that came back empty loses acknowledged events silently.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from headrace.assembly.clock import clock_ms
from headrace.log.reading import last_position
from headrace.log.sqlite import SqliteLog
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.event import is_event
from headrace.model.known_log import KnownLog, OtherLog
from headrace.model.settings import Settings
from headrace.ports.log import KnownKeys, Log, LogTails, LostKeys
from headrace.upkeep.erasing import ErasableLog
from headrace.upkeep.quarantine import ForgettingLog

if TYPE_CHECKING:
    from headrace.log.valkey.server import LogServer

FILE = "log.sqlite"
_NOTE = "log.json"
_SECOND_COPIES_BYTES = 256 * 1024 * 1024  # of events that the store has, in a server's memory


class ServerLog(Log, ErasableLog, ForgettingLog, LogTails, KnownKeys, LostKeys, Protocol):
    """Everything that a server asks of its log. Raises Unavailable.

    durability: "fsync" if an acknowledged entry is on disk; else the weaker promise that the settings accept. max_bytes: of
    payload, at which new entries are refused.
    """

    durability: str
    max_bytes: int

    def bound(self) -> int:
        """A position that no acknowledged entry is past. From memory, for the event loop's thread."""
        ...

    def probe(self) -> None:
        """Write something that nobody reads."""
        ...

    def close(self) -> None:
        """Close files and connections."""
        ...


class _LogLocation(msgspec.Struct, frozen=True):
    """Where a folder's log is, as `log.json` has it.

    shown: the server's URL without the password. log: the log's id there. settled: whether nobody needs it any more.
    """

    shown: str
    log: str
    settled: bool = False


class LogOfFolder:
    """A data folder's log. missing: a sentence if it was not there although it should have been. found: the one on a server."""

    def __init__(
        self, settings: Settings, *, instance: str, floor: int, done: int, known: KnownLog | None = None
    ) -> None:
        """floor: the last position that the store has. done: everything up to here is stored and was reacted to.

        known: the log that a control database on a server knows, which counts where the folder has no note.
        Raises SettingsError, Unavailable.
        """
        self.missing = ""
        self.found: KnownLog | None = None
        self.server: LogServer | None = None
        self._note = settings.data / _NOTE
        if settings.log_url:
            self.log = self._on_server(settings, instance, floor, done, known)
        else:
            _require_settled(self._note)
            self.log = _file(settings, floor)
            self._note.unlink(missing_ok=True)
        self.spare_bytes = self.log.max_bytes // 2
        if settings.log_url:
            self.spare_bytes = min(self.spare_bytes, _SECOND_COPIES_BYTES)

    def settled(self, done: int, /) -> bool:
        """At shutdown: note whether everything in a log on a server is stored and was reacted to, and return it.

        Raises Unavailable.
        """
        noted = _noted(self._note)
        if noted is None or self.log.last() > done:
            return False
        self._write(msgspec.structs.replace(noted, settled=True))
        return True

    def _on_server(self, settings: Settings, instance: str, floor: int, done: int, known: KnownLog | None) -> ServerLog:
        noted = _noted(self._note)
        if noted is None:
            require_drained(settings, done)
        log, shown, log_id, self.server = _server(settings, instance, floor)
        if noted is None and known is not None:
            noted = _LogLocation(known.shown, known.id)
        self.found = KnownLog(log_id, shown)
        if noted is not None and noted.log != log_id and not noted.settled:
            self.missing = (
                f"The log that this server had at {noted.shown} was not there, and a new one was made at {shown}: events "
                "that were acknowledged and not stored yet are missing. If that server still has it, stop this one and name it "
                "in HEADRACE_LOG_URL."
            )
        self._write(_LogLocation(shown, log_id))
        return log

    def _write(self, note: _LogLocation) -> None:
        new = self._note.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(note))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._note)


def _require_settled(note: Path) -> None:
    """Raises SettingsError if the folder's log is on a server, and may hold what nobody else has."""
    noted = _noted(note)
    if noted is not None and not noted.settled:
        raise SettingsError(
            f"HEADRACE_LOG_URL is not set, but this folder's log is at {noted.shown} and may hold events that are not stored "
            "yet. Set it, start the server and stop it again (SIGTERM); then unset it. "
            f"If that log is lost for good, remove {note}."
        )


def _noted(path: Path) -> _LogLocation | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_LogLocation)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path} is damaged: {error}. Remove it if the log there is stored.") from None


def require_drained(settings: Settings, done: int, /) -> None:
    """Raises SettingsError if the log's file holds what is not stored, or not reacted to, yet."""
    if last_position(settings.data / FILE) > done:
        raise SettingsError(
            f"HEADRACE_LOG_URL: {settings.data / FILE} holds events that are not stored yet. Start the server without this "
            "setting and stop it again (SIGTERM), so that it stores them; then set it."
        )


def elsewhere(settings: Settings, /) -> str:
    """Where a folder's log is, or was last, if that is on a server; without the password. "" for in the folder."""
    noted = _noted(settings.data / _NOTE)
    return "" if noted is None else noted.shown


def last_position_of(settings: Settings, /) -> int:
    """The position of the log's last entry, for commands beside a server. Raises SettingsError, Unavailable."""
    if not settings.log_url:
        return last_position(settings.data / FILE)
    server = _connect(settings)
    try:
        return server.last_position()
    finally:
        server.close()


def require_no_log(settings: Settings, /) -> None:
    """Raises SettingsError if the server that `log_url` names cannot be used or has a log. Raises Unavailable."""
    server = _connect(settings)
    try:
        server.require_usable(settings.log_durability)
        if server.state_of("id") != [None]:
            raise server.refusal(
                "it has a log already; name an empty database by its number at the URL's end, such as /1"
            )
    finally:
        server.close()


def examine(settings: Settings, /) -> str:
    """What is wrong with the Valkey server that `log_url` names or, without one, that has the folder's log; "" if nothing is."""
    try:
        if not settings.log_url:
            _require_settled(settings.data / _NOTE)
            return ""
        server = _connect(settings)
        try:
            server.require_usable(settings.log_durability)
        finally:
            server.close()
    except SettingsError as error:
        return error.message
    except OSError:  # of the folder, which is examined by itself
        return ""
    return ""


def _file(settings: Settings, floor: int) -> SqliteLog:
    return SqliteLog(
        settings.data / FILE,
        clock_ms=clock_ms,
        floor=floor,  # if the file is lost, its positions are still not reused
        dedup_window_s=settings.dedup_window_s,
        dedup_max_bytes=settings.dedup_max_bytes,
        max_bytes=settings.log_max_bytes,
        is_sound=is_event,
    )


def attach(
    settings: Settings, /, *, instance: str, floor: int, known: KnownLog | None
) -> "tuple[ServerLog, LogServer]":
    """The log that a worker has made on a server, for whoever only uses it. known: see `KnownLog`; None for any.

    Raises SettingsError (OtherLog if it is not the known one), Unavailable if there is none, or it was made just now.
    """
    log, shown, log_id, server = _server(settings, instance, floor, is_owner=False)
    if known is not None and known.id != log_id:
        log.close()
        if known.shown == shown:
            raise Unavailable("A worker is about to open the log.", retry_after_s=5)
        raise OtherLog(known, shown)
    return log, server


def require_known(settings: Settings, known: KnownLog | None, /) -> None:
    """Raise OtherLog if the log that `log_url` names is not the known one, for whoever does not use it yet. Raises Unavailable.

    A server that came back empty is not another one.
    """
    if known is None:
        return
    server = _connect(settings)
    try:
        if server.shown == known.shown:
            return
        [log_id] = server.state_of("id")
        if log_id is None or log_id.decode() != known.id:
            raise OtherLog(known, server.shown)
    finally:
        server.close()


def _server(
    settings: Settings, instance: str, floor: int, *, is_owner: bool = True
) -> "tuple[ServerLog, str, str, LogServer]":
    """The log, its server's URL without the password, the log's id, and the server."""
    server = _connect(settings)
    from headrace.log.valkey.log import ValkeyLog  # noqa: PLC0415

    try:
        log = ValkeyLog(
            server,
            instance=instance,
            durability=settings.log_durability,
            floor=floor,
            is_owner=is_owner,
            partitions=settings.log_partitions,
            dedup_window_s=settings.dedup_window_s,
            dedup_max_bytes=settings.dedup_max_bytes,
            max_bytes=settings.log_max_bytes,
        )
    except BaseException:
        server.close()
        raise
    return log, server.shown, log.id, server


def _connect(settings: Settings) -> "LogServer":
    try:
        from headrace.log.valkey.server import LogServer  # noqa: PLC0415
    except ImportError:
        raise SettingsError(
            "HEADRACE_LOG_URL: The driver for Valkey is missing: pip install 'headrace[scale]'."
        ) from None
    return LogServer(settings.log_url, replicas=settings.log_replicas)
