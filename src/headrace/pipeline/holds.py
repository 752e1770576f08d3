"""Where the reactions of a project and mode wait for an erasure, so that later events of the same id are about somebody new.

An erasure is a command in the log. Everything before it is reacted to first; then the person is detached from control; only then
is anything after it reacted to. What journeys emit waits too, from before the command is appended: an event that is emitted
because of what a person did before must not come after it.
"""

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec
import structlog

from headrace.model.erasure import OpenErasure, decode_command
from headrace.model.event import Tenant
from headrace.ports.erasures import OpenErasures

_log = structlog.get_logger("headrace.erasures")


class ErasureHolds:
    """Any thread may call it."""

    def __init__(self, erasures: OpenErasures, on_placed: Callable[[], None] = lambda: None) -> None:
        """Learns which erasures were open at the last end. on_placed: called when a command was read. Raises ControlFailed."""
        self._erasures = erasures
        self._on_placed = on_placed
        self._lock = threading.Lock()
        self._held: dict[
            Tenant, dict[str, int | None]
        ] = {}  # by erasure: the command's position, None while it is unknown
        self._emitting = threading.Lock()
        for each in erasures.open():
            if each.status == "requested":
                self._hold(each.tenant, each.id, each.position)

    @contextmanager
    def nothing_emitted(self) -> Generator[None]:
        """Within it no journey's event goes through intake: for appending a command, and for emitting."""
        with self._emitting:
            yield

    def begin(self, tenant: Tenant, erasure_id: str, /) -> None:
        """An erasure's command is about to be appended."""
        with self._lock:
            self._hold(tenant, erasure_id, None)

    def read(self, position: int, payload: bytes, /) -> None:
        """An erasure's command was read from the log. May be called again. Raises ControlFailed."""
        try:
            command = decode_command(payload)
        except msgspec.DecodeError as error:  # of another version of this program
            _log.error("erasure_unreadable", position=position, why=str(error))
            return
        with self._lock:  # so that it cannot be lifted between the question and the answer
            found = self._erasures.placed(command.erasure, position)
            if found is not None and found.status == "requested":
                self._hold(found.tenant, found.id, found.position)
        self._on_placed()

    def first(self, tenant: Tenant, /) -> int | None:
        """The position after which nothing of the tenant may be reacted to yet; None for no such place."""
        held = self._held.get(tenant)
        if not held:
            return None
        with self._lock:
            return min((each for each in held.values() if each is not None), default=None)

    def held(self) -> list[Tenant]:
        """The tenants of which what journeys emit has to wait."""
        with self._lock:
            return list(self._held)

    def lift(self, erasure: OpenErasure, /) -> None:
        """The person is detached."""
        with self._lock:
            held = self._held.get(erasure.tenant, {})
            held.pop(erasure.id, None)
            if not held:
                self._held.pop(erasure.tenant, None)

    def _hold(self, tenant: Tenant, erasure_id: str, position: int | None) -> None:
        held = self._held.setdefault(tenant, {})
        held[erasure_id] = held.get(erasure_id) or position
