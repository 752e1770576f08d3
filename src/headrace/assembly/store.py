"""Opens the store: ClickHouse in this process, or the server that `store_url` names."""

from urllib.parse import urlsplit

from headrace.assembly.folder import require_no_dead_link
from headrace.control.leases import LastingLease
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from headrace.ports.store import StoreFailed
from headrace.store.clickhouse import ClickHouseStore
from headrace.store.cluster import placed
from headrace.store.engine import problem_of
from headrace.store.moving import is_being_filled
from headrace.store.restoring import is_being_restored

_RESTORING = "a restore into it was cut off, so it lacks events; run `headrace restore` again"
_MOVING = "a move into it has not ended, so it lacks events; run `headrace migrate-data` again"


def open_store(settings: Settings, lease: LastingLease | None, /, *, is_restoring: bool = False) -> ClickHouseStore:
    """lease: of the partition, whose fence inserts over HTTP carry. is_restoring: for the restore that fills the store.

    Raises SettingsError, StoreFailed.
    """
    if not settings.store_url:
        require_no_dead_link(settings.data / "store")
        return _opened(settings, f"chdb://{settings.data.resolve() / 'store'}", None)
    if lease is None:
        raise SettingsError(
            "HEADRACE_STORE_URL needs HEADRACE_CONTROL_URL: its lease keeps two servers from storing the same events."
        )
    shown = shown_url(settings.store_url)
    try:
        store = _opened(settings, settings.store_url, lease)
        return store if is_restoring else _whole(store, shown)
    except StoreFailed as error:
        raise SettingsError(f"HEADRACE_STORE_URL: The store at {shown} cannot be used: {error}") from error


def _whole(store: ClickHouseStore, shown: str) -> ClickHouseStore:
    """The store, unless a restore or a move into it was cut off. Raises SettingsError, StoreFailed."""
    try:
        if is_being_restored(store.engine):
            raise SettingsError(f"HEADRACE_STORE_URL: The store at {shown} cannot be used: {_RESTORING}.")
        if is_being_filled(store.engine):
            raise SettingsError(f"HEADRACE_STORE_URL: The store at {shown} cannot be used: {_MOVING}.")
    except BaseException:
        store.close()
        raise
    return store


def open_partition(settings: Settings, lease: LastingLease, number: int, /) -> ClickHouseStore:
    """The store on a server, for inserts under a partition's lease. number: of its fence. Raises SettingsError, StoreFailed."""
    store = ClickHouseStore(settings.store_url, raise_fence=lease.raise_fence, fence_number=number, is_owner=False)
    return _whole(store, shown_url(settings.store_url))


def open_reader(settings: Settings, /) -> ClickHouseStore:
    """The store on a server, for a process that changes no event and no table. Raises SettingsError, StoreFailed."""
    shown = shown_url(settings.store_url)
    try:
        store = ClickHouseStore(
            settings.store_url,
            query_timeout_s=settings.query_timeout_s,
            query_max_memory_bytes=settings.query_max_memory_bytes,
            is_owner=False,
        )
        return _whole(store, shown)
    except StoreFailed as error:
        raise SettingsError(f"HEADRACE_STORE_URL: The store at {shown} cannot be used: {error}") from error


def examine(settings: Settings, /) -> str:
    """What is wrong with the ClickHouse server that `store_url` names; "" if nothing is, or none is named. Only asks."""
    if not settings.store_url:
        return ""
    try:
        shown = shown_url(settings.store_url)
    except SettingsError as error:
        return error.message
    problem = problem_of(settings.store_url)
    return f"HEADRACE_STORE_URL: The store at {shown} cannot be used: {problem}" if problem else ""


def shown_url(url: str) -> str:
    """The URL without user and password. Raises SettingsError if it is malformed, without quoting it."""
    try:
        parts = urlsplit(url)
        placed(url)  # raises for a cluster whose name is not plain
        if parts.hostname and parts.path.strip("/") and parts.port != 0:  # raises if it is not a number
            return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    except StoreFailed as error:
        raise SettingsError(f"HEADRACE_STORE_URL: The store cannot be used: {error}.") from error
    except ValueError:
        pass
    raise SettingsError("HEADRACE_STORE_URL: Expected http://user:password@host:8123/database, or https://.")


def _opened(settings: Settings, dsn: str, lease: LastingLease | None) -> ClickHouseStore:
    return ClickHouseStore(
        dsn,
        query_timeout_s=settings.query_timeout_s,
        query_max_memory_bytes=settings.query_max_memory_bytes,
        hot_tags=[tag for tag in settings.hot_tags.split(",") if tag],
        raise_fence=None if lease is None else lease.raise_fence,
        # The embedded store is this process's alone; others may write to a server.
        remember_bytes=0 if settings.store_url else settings.query_cache_bytes,
        recompress_after_s=settings.recompress_after_s,
    )
