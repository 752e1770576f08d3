"""Queries that wait at the same time and ask the same: one of them is run, and all get its answer. Knows no content.

An answer is only shared with those that waited for it before it was begun. By then each had seen to it that the store holds
everything acknowledged before it came, so the answer is what its own would have been.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Generic, TypeVar

import msgspec

from headrace.model.errors import HeadraceError
from headrace.model.stale_reads import StaleRead, mark_like

Answer = TypeVar("Answer")


class Outcome(msgspec.Struct, Generic[Answer], frozen=True):
    """What a query came to: its answer, or the error it raised. read: whether that is stale; None if it cannot be."""

    answer: Answer | None = None
    error: HeadraceError | None = None
    read: StaleRead | None = None

    def get(self) -> Answer:
        """For another request. Raises the error, and Unavailable for a stale answer if the request does not accept one."""
        mark_like(self.read)
        if self.error is not None:
            raise self.error
        return self.answer  # pyright: ignore[reportReturnType]  an answer may be None itself


class SameQuestions(Generic[Answer]):
    """Who asks what, by `identity_of` the question. For the event loop's thread."""

    def __init__(self) -> None:
        self._asked = Counter[str]()
        self._waiting: dict[str, asyncio.Future[Outcome[Answer] | None]] = {}

    def is_asked(self, same: str, /) -> bool:
        return same in self._asked

    def enter(self, same: str, /) -> None:
        """Count one more that asks it."""
        self._asked[same] += 1

    def leave(self, same: str, /) -> None:
        self._asked[same] -= 1
        if not self._asked[same]:
            del self._asked[same]

    def is_waiting(self, same: str, /) -> bool:
        """Whether one waits to be run whose answer others may have."""
        return same in self._waiting

    async def of_another(self, same: str, /) -> Outcome[Answer] | None:
        """What the one that waits to be run comes to; None if it is not run after all."""
        return await asyncio.shield(self._waiting[same])

    def wait(self, same: str, /) -> "asyncio.Future[Outcome[Answer] | None]":
        """From now on until `begin` others may wait for what this one comes to. Whoever waits has to make it done."""
        self._waiting[same] = asyncio.get_running_loop().create_future()
        return self._waiting[same]

    def begin(self, same: str, /) -> None:
        """It is begun, or given up. Whoever comes from now on may know of events that it does not find."""
        self._waiting.pop(same, None)


def identity_of(question: Callable[..., object], /) -> str:
    """Equal for two questions only if they are the same code over the same values; "" if that cannot be told.

    Only while the first of the two exists: values that show no content are told by their place in memory.
    """
    if not isinstance(question, FunctionType):
        return repr(question)
    parts = [hex(id(question.__code__)), repr(question.__defaults__), repr(question.__kwdefaults__)]
    for cell in question.__closure__ or ():
        try:
            value = cell.cell_contents
        except ValueError:  # not assigned yet
            return ""
        part = _told(value)
        if not part:
            return ""
        parts.append(part)
    return f"({' '.join(parts)})"


def _told(value: object) -> str:
    if isinstance(value, FunctionType):
        return identity_of(value)
    if isinstance(value, MethodType):  # its own `repr` would show the whole object, which may be all rules of a project
        return f"{id(value.__self__):x}.{value.__func__.__qualname__}"
    return repr(value)
