"""How a capability puts a question to the store or to the control database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec

from headrace.model.askers import Asker
from headrace.model.errors import Unavailable
from headrace.pipeline.queries import QuerySlots
from headrace.ports.control import ControlFailed
from headrace.ports.store import Reader

Answer = TypeVar("Answer")


class Ask(msgspec.Struct, frozen=True):
    """Asks the store once it holds everything acknowledged before now. See `QuerySlots.ask`."""

    slots: QuerySlots

    def __call__(self, question: Callable[[Reader], Answer], by: Asker, /) -> Awaitable[Answer]:
        return self.slots.ask(question, by=by)


async def ask_control(question: Callable[[], Answer], /) -> Answer:
    """Ask the control database, off the event loop. Raises Unavailable, and whatever the question raises."""
    try:
        return await asyncio.to_thread(question)
    except ControlFailed as error:
        raise Unavailable("The control database is not responding.") from error
