"""What a process of a split server needs, and how one worker at a time becomes the active one."""

import secrets
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

import sqlalchemy as sa

from headrace.assembly.control import PARTITION, open_control
from headrace.assembly.log import require_known
from headrace.control.known_log import ControlKnownLog
from headrace.control.leases import LEASE_S, ControlLeases, LastingLease
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.lease import Lease
from headrace.model.settings import Settings
from headrace.ports.control import ControlFailed

_LONG_S = LEASE_S / 2  # between two tries: what was suspended for so long may have had its lease expire
_COMPARE_EVERY_S = 5.0
_ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104  compared, not listened on


def require_urls(settings: Settings, for_command: str = "", /) -> None:
    """Raises SettingsError if the role, or a command, needs a server that no setting names, or the role does not suit the log."""
    if settings.role == "all" and not for_command:
        if settings.log_partitions > 1:
            raise SettingsError(
                f"HEADRACE_LOG_PARTITIONS={settings.log_partitions} needs workers that share the partitions: set HEADRACE_ROLE "
                "to `worker` or `gateway`, or use one partition."
            )
        if settings.stale_reads == "on" and not settings.log_url:
            raise SettingsError(
                "HEADRACE_STALE_READS=on needs HEADRACE_LOG_URL: a log in the data folder is part of this process, and can "
                "always be asked. Leave it off."
            )
        return
    parts = {
        "HEADRACE_LOG_URL": (settings.log_url, "a Valkey server, which holds the log"),
        "HEADRACE_CONTROL_URL": (settings.control_url, "a PostgreSQL database, which holds keys, rules and reactions"),
        "HEADRACE_STORE_URL": (settings.store_url, "a ClickHouse server, which holds the events"),
    }
    for variable, (url, what) in parts.items():
        if not url:
            if for_command:
                raise SettingsError(f"`{for_command}` needs {variable}: {what}.")
            raise SettingsError(
                f"HEADRACE_ROLE={settings.role} needs {variable}: {what}. Set it to the same URL for every gateway and "
                "worker, or use the role `all`."
            )


def url_of_worker(settings: Settings, port: int, /) -> str:
    """Where gateways reach a worker that listens on a port."""
    if settings.worker_url:
        return settings.worker_url
    host = socket.gethostname() if settings.host in _ANYWHERE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


class HeldPartition:
    """The control database, and the lease of the partition in it. The runtime that is opened with it closes both."""

    def __init__(
        self, control: sa.Engine, leases: ControlLeases, lease: LastingLease, *, is_restoring: bool = False
    ) -> None:
        """is_restoring: the store may be one that a restore has not filled yet."""
        self.control = control
        self.is_restoring = is_restoring
        self.leases = leases
        self.lease = lease
        self.renew_every_s = LEASE_S / 3

    def renew(self) -> None:
        """Renew the lease, if control answers."""
        with suppress(ControlFailed):
            self.leases.renew()


class Candidate:
    """A worker that stands by: it takes the partition's lease once that is free or has expired. For one thread at a time.

    While control was away, or this machine was suspended, the active worker may not have been able to renew its lease, either.
    So after such a time a candidate waits for as long as a lease lasts, or it would put an end to a worker that is well.

    It does not stand by for a worker that has another log: of two clusters on one control database, one would lose its events.
    """

    def __init__(self, settings: Settings, *, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        """Raises SettingsError if the control database cannot be opened."""
        self._settings = settings
        self._control = open_control(settings)
        self._leases, self._owner = ControlLeases(self._control), secrets.token_hex(8)
        self._held: HeldPartition | None = None
        self._monotonic_s = monotonic_s
        self._compares_at = 0.0
        self._tried_at: float | None = None
        self._waits_until = 0.0

    def try_to_take(self) -> HeldPartition | None:
        """The partition; None while another worker has it, or control does not answer. Call it several times a second.

        Raises OtherLog.
        """
        now = self._monotonic_s()
        if self._tried_at is not None and now - self._tried_at > _LONG_S:
            self._waits_until = now + LEASE_S
        self._tried_at = now
        if now < self._waits_until:
            return None
        try:
            lease = self._leases.take(PARTITION, self._owner)
        except ControlFailed:
            self._waits_until = self._monotonic_s() + LEASE_S
            return None
        finally:
            self._tried_at = self._monotonic_s()
        if lease is None:
            self._compare_logs()
            return None
        lasting = LastingLease(self._leases, self._owner, lease, takes_back=False)
        self._held = HeldPartition(self._control, self._leases, lasting)
        return self._held

    def _compare_logs(self) -> None:
        """Raise OtherLog if the active worker has opened another log. It may be about to open one."""
        now = self._monotonic_s()
        if now < self._compares_at:
            return
        self._compares_at = now + _COMPARE_EVERY_S
        with suppress(ControlFailed, Unavailable):  # then the next time
            known = ControlKnownLog(self._control).get()
            if known is not None and self._leases.living(PARTITION).get(PARTITION) == known.process:
                require_known(self._settings, known)

    def close(self) -> None:
        """Give up. What was taken is free for others at once."""
        if self._held is not None:
            with suppress(ControlFailed):  # then it expires
                self._held.lease.release()
        self._control.dispose()


class LeaseWatch:
    """Renews a process's leases, and tells once the partition's has passed to another worker."""

    def __init__(self, leases: ControlLeases, lease: LastingLease | None, on_lost: Callable[[], None]) -> None:
        """on_lost: called from the thread that renews, once."""
        self._leases = leases
        self._lease = lease
        self._on_lost = on_lost
        self._missed: Lease | None = None
        self._is_lost = False

    def step(self) -> bool:
        """For the loop: returns False so that it rests. Raises ControlFailed."""
        self._leases.renew()
        if self._lease is None or self._is_lost:
            return False
        current = self._lease.current
        if self._leases.holds(current):
            self._missed = None
        elif self._missed != current:  # it may be this worker itself that has just taken it anew
            self._missed = current
        else:
            self._is_lost = True
            self._on_lost()
        return False


class Share(Protocol):
    """The partitions of the log that a worker stores, whether or not it is the active one."""

    def start(self) -> None: ...

    def stop(self) -> None:
        """Let others have them at once."""
        ...

    def held(self) -> list[int]: ...


def share_of(settings: Settings, /) -> Share | None:
    """A worker's; None if the log has one partition, which the active worker stores. Raises SettingsError."""
    if settings.log_partitions == 1:
        return None
    from headrace.assembly.partition_storing import partition_share  # noqa: PLC0415  it needs the driver

    return partition_share(settings)
