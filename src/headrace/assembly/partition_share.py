"""Which partitions of the log a worker stores: its even share among the workers there are, whichever of them coordinates.

Opens nothing itself. What a partition is stored with is in `partition_storing.py`.
"""

import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Protocol

import structlog

from headrace.control.leases import ControlLeases, LastingLease
from headrace.model.errors import SettingsError, Unavailable
from headrace.model.fitness import Fitness
from headrace.model.lease import Lease
from headrace.model.partition_shares import shares_of
from headrace.pipeline.loop import Loop
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed

_log = structlog.get_logger("headrace.partitions")
_STORING, _MEMBER, _WELL = "storing/", "member/", "well/"
_LOOK_EVERY_S = 0.5
_MOMENT_S = 1.0  # most threads end within it
_PATIENCE_S = 5.0


class StoredPartition(Protocol):
    """A partition that is opened here."""

    def start(self) -> None:
        """Store it, in a thread of its own."""
        ...

    def ask_to_stop(self) -> None:
        """Store nothing more after what is under way. Does not wait for that."""
        ...

    def store_fails(self) -> bool:
        """Whether the last thing that it asked of the store has failed."""
        ...

    def has_ended(self, timeout_s: float, /) -> bool:
        """Whether its thread is over, after waiting for that so long at most."""
        ...

    def close(self) -> None:
        """Close what was opened for it, once its thread is over."""
        ...


class Partitions(Protocol):
    """What opens them."""

    def open(self, number: int, lease: LastingLease, /) -> StoredPartition:
        """Does not start it. Raises SettingsError, StoreFailed, Unavailable, ControlFailed."""
        ...

    def store_answers(self) -> bool:
        """Whether the store answers at all. May wait for a connection."""
        ...

    def close(self) -> None:
        """Close what they share."""
        ...


class _Held:
    """A partition that is stored here, or was until just now."""

    def __init__(self, number: int, lease: LastingLease, partition: StoredPartition) -> None:
        self.number = number
        self.lease = lease
        self.partition = partition
        self.missed: Lease | None = None  # what its lease was when this process seemed to have lost it
        self.is_free = False  # others may take it
        self.free_at = 0.0


class PartitionShare:
    """Takes and gives back partitions as workers join and leave. Any thread may call `start`, `stop` and `held`.

    Each partition is a lease. A worker whose lease has passed to another stores and commits nothing more (decision 162), so all
    of this may be late, or suspended at any point for any time. Nothing waits for a partition's thread, which may be amid a call
    that takes a minute to fail: a worker that goes on after it was suspended has its share as fast as one that starts.

    A member is well while the store does not fail it, and says so by another lease. One that the store fails leaves its share to
    those that are well, by being no member: see `Fitness`.
    """

    def __init__(
        self,
        leases: ControlLeases,
        count: int,
        partitions: Partitions,
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """count: of the log's partitions."""
        self._leases = leases
        self._count = count
        self._partitions = partitions
        self._monotonic_s = monotonic_s
        self._stored: dict[int, _Held] = {}
        self._ending: list[_Held] = []
        self._member: Lease | None = None
        self._well: Lease | None = None
        self._fitness = Fitness(leases.length_s or 0)
        self._fails_to_open = False
        self._has_swept = False
        self._lock = threading.Lock()
        self._loop = Loop("partitions", self.look, idle_s=_LOOK_EVERY_S, on_failure=_on_failure)
        length_s = leases.length_s or 0
        self._renewal = Loop("partition leases", self.renew, idle_s=length_s / 3, on_failure=_on_failure)

    def start(self) -> None:
        _log.info("sharing_partitions", process=self._leases.process)
        self._renewal.start()
        self._loop.start()

    def stop(self) -> None:
        """Stop storing, and let others take the partitions at once."""
        self._loop.stop()
        with suppress(ControlFailed):  # then it expires
            self._leave()  # first, or the others would leave this one its share
        self._give_back(list(self._stored), wait_s=_PATIENCE_S)
        for each in self._ending:
            self._free(each)
        self._renewal.stop()
        self._partitions.close()

    def held(self) -> list[int]:
        """The partitions that are stored here now."""
        with self._lock:
            return sorted(self._stored)

    def renew(self) -> bool:
        """For the loop: returns False so that it rests. Raises ControlFailed."""
        self._leases.renew()
        return False

    def look(self) -> bool:
        """Be a member, give back what is lost or too much, and take what is free and this member's. False, like `renew`.

        Raises ControlFailed, or the first of what has kept it from storing a partition, after trying the others.
        """
        if not self._may_store():
            self._give_back(list(self._stored))
            return False
        if self._member is None or not self._leases.renews(self._member):
            self._member = self._leases.take(f"{_MEMBER}{self._leases.process}", "member")
        if not self._has_swept:
            for prefix in (_MEMBER, _WELL):
                self._leases.sweep(prefix)
            self._has_swept = True
        me = self._leases.process
        members = {me, *self._leases.living(_MEMBER).values()}
        taken = self._leases.living(_STORING)
        holders = {number: taken.get(f"{_STORING}{number}", "") for number in range(self._count)}
        mine = {number for number, member in shares_of(members, holders).items() if member == me}
        self._give_back({*self._lost(), *(set(self._stored) - mine)})
        kept = {*self._stored, *(each.number for each in self._ending if not each.is_free)}
        failures = [self._take(number) for number in sorted(mine - kept) if holders[number] in ("", me)]
        self._fails_to_open = any(isinstance(each, (StoreFailed, SettingsError)) for each in failures)
        self._tell_whether_well()
        for failure in filter(None, failures):
            raise failure
        return False

    def _may_store(self) -> bool:
        """Whether this worker is to have a share. It stops being a member if not. Raises ControlFailed."""
        fitness = self._fitness
        if fitness.rests:
            # Where nobody else would store its share, it asks at once.
            if not fitness.may_ask(self._monotonic_s()) and self._others(_MEMBER):
                return False
            if not self._partitions.store_answers():
                fitness.rest(self._monotonic_s())
                return False
            fitness.recover()
            return True
        fails = self._fails_to_open or any(each.partition.store_fails() for each in self._stored.values())
        fitness.note(self._monotonic_s(), fails=fails)
        if not fitness.is_out_of_patience(self._monotonic_s()) or not self._others(_WELL):
            return True
        _log.warning("share_left_to_others", why="The store fails this worker, and another one is well.")
        self._leave()
        fitness.rest(self._monotonic_s())
        return False

    def _others(self, prefix: str) -> set[str]:
        return {*self._leases.living(prefix).values()} - {self._leases.process}

    def _leave(self) -> None:
        """Be no member any more. Raises ControlFailed."""
        left = [each for each in (self._member, self._well) if each is not None]
        self._member = self._well = None
        for each in left:
            self._leases.release(each)

    def _tell_whether_well(self) -> None:
        """Raises ControlFailed."""
        well = self._well
        if not self._fitness.is_well or self._fails_to_open:
            self._well = None
            if well is not None:
                self._leases.release(well)
        elif well is None or not self._leases.renews(well):
            self._well = self._leases.take(f"{_WELL}{self._leases.process}", "well")

    def _lost(self) -> list[int]:
        """What another has taken. It may be the worker itself that has just taken its lease anew: look twice."""
        lost: list[int] = []
        for number, each in self._stored.items():
            current = each.lease.current
            if self._leases.renews(current):
                each.missed = None
            elif each.missed != current:
                each.missed = current
            else:
                _log.warning("partition_lost", partition=number)
                lost.append(number)
        return lost

    def _take(self, number: int) -> Exception | None:
        """Store a partition, unless another has taken it. Returns what is in the way. Raises ControlFailed."""
        lease = self._leases.take(f"{_STORING}{number}", "storing")
        if lease is None:
            return None
        lasting = LastingLease(self._leases, "storing", lease, takes_back=False)
        try:
            partition = self._partitions.open(number, lasting)
        except Exception as error:  # noqa: BLE001  whatever it is, the other partitions may do without it
            with suppress(ControlFailed):  # then it expires
                lasting.release()
            return error
        with self._lock:
            self._stored[number] = _Held(number, lasting, partition)
        partition.start()
        _log.info("partition_taken", partition=number, fence=lease.fence)
        return None

    def _give_back(self, numbers: Collection[int], *, wait_s: float = _MOMENT_S) -> None:
        """Store these no longer, and free each once its thread is over, or soon anyway: then the fence keeps out what that sends.

        wait_s: how long to wait for the threads. Those that take longer are looked at again at each look.
        """
        for number in numbers:
            with self._lock:
                each = self._stored.pop(number)
            each.partition.ask_to_stop()
            each.free_at = self._monotonic_s() + _PATIENCE_S
            self._ending.append(each)
        until = self._monotonic_s() + wait_s
        for each in list(self._ending):
            # One that had its time is not waited for again: what is new must not be late for it.
            wait_for_it_s = 0 if each.number not in numbers else max(0.0, until - self._monotonic_s())
            if each.partition.has_ended(wait_for_it_s):
                self._ending.remove(each)
                each.partition.close()
                self._free(each)
            elif self._monotonic_s() >= each.free_at or not self._leases.renews(each.lease.current):
                self._free(each)

    def _free(self, each: _Held) -> None:
        if each.is_free:
            return
        each.is_free = True
        with suppress(ControlFailed):  # then it expires
            each.lease.release()
        _log.info("partition_given_back", partition=each.number)


def _on_failure(error: Exception, pause_s: float) -> None:
    if isinstance(error, (Unavailable, StoreFailed, ControlFailed, SettingsError)):
        _log.warning("partitions_wait", retry_in_s=pause_s, why=str(error))
    else:
        _log.error("partitions_failed", retry_in_s=pause_s, exc_info=error)
