"""One request's events, checked: what a dialect's parser is given and gives back. No I/O."""

from collections.abc import Sequence

import msgspec

from headrace.model.errors import HeadraceError
from headrace.model.event import Event, Tenant
from headrace.model.settings import Settings


class Context(msgspec.Struct, frozen=True):
    """What a parser may know beside the bytes. `idempotency_key` is the header's, "" without one.

    `query` and `headers` (by lower-case name) are there for the dialects that look at them alone. `warnings` gathers what
    a parser took although it was not right, a sentence each.
    """

    tenant: Tenant
    now_ms: int
    settings: Settings
    idempotency_key: str = ""
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    warnings: list[str] = []


class Item(msgspec.Struct, frozen=True, gc=False):
    """An event that is fit to be stored. What makes it a repeat of another: repeats.py."""

    index: int
    event: Event


class Rejection(msgspec.Struct, frozen=True):
    """An event of a batch that is not, and why."""

    index: int
    error: HeadraceError


class Batch(msgspec.Struct, frozen=True):
    """One request's events, each kind in the order in which they were sent."""

    items: list[Item]
    rejections: list[Rejection] = []
