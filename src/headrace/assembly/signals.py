"""What the wings of a server tell each other. They are made one after the other, and yet tell each other things both ways."""

from collections.abc import Callable, Collection, Sequence
from typing import Generic, ParamSpec

from headrace.model.entries import Record
from headrace.model.event import Tenant
from headrace.model.journeys import RunState

P = ParamSpec("P")


class Signal(Generic[P]):
    """Call it to call every listener, in the order in which they were added. None may be added once the server starts."""

    def __init__(self) -> None:
        self._listeners: tuple[Callable[P, object], ...] = ()

    def add(self, *listeners: Callable[P, object]) -> None:
        self._listeners += listeners

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> None:
        for each in self._listeners:
            each(*args, **kwargs)


class Signals:
    """All of one server. Listeners run in the thread of whoever gives the signal, and must not wait."""

    def __init__(self) -> None:
        self.stored = Signal[[]]()  # the store has more events: `Worker`'s on_progress
        self.inserted = Signal[[Sequence[Record]]]()  # these: `Worker`'s on_stored
        self.reacted = Signal[[]]()  # after each turn of the reactor
        self.run_changed = Signal[[Tenant, RunState]]()  # a journey's runs: see `WatchedStates`
        self.enqueued = Signal[[Collection[int]]]()  # deliveries of some webhooks: see `ControlOutbox`
        self.erasure_read = Signal[[]]()  # the command of an erasure was read from the log: see `ErasureHolds`
        self.told = Signal[[]]()  # a gateway has heard of the worker's progress
        self.detached = Signal[[]]()  # a person was detached from control: see `Eraser`
