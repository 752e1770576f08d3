"""The input and output of a dialect's parser: one request's events, checked. No I/O."""

from collections.abc import Sequence

import msgspec

from headrace.model.errors import HeadraceError
from headrace.model.event import Event, Tenant
from headrace.model.settings import Settings


class Context(msgspec.Struct, frozen=True):
    """What a parser may use besides the body. `idempotency_key` is the header's value, "" if there is none.

    Only some dialects use `query` and `headers` (by lower-case name). `warnings` collects problems that the parser
    tolerated, one sentence each. `sent_at_ms`: when the request was sent, if it says so outside its events; for parsers
    of single events.
    """

    tenant: Tenant
    now_ms: int
    settings: Settings
    idempotency_key: str = ""
    query: str = ""
    headers: Sequence[tuple[str, str]] = ()
    warnings: list[str] = []
    sent_at_ms: int | None = None


class Item(msgspec.Struct, frozen=True, gc=False):
    """A valid event. `index`: its place in the request. repeats.py says what makes it a repeat of another."""

    index: int
    event: Event


class Rejection(msgspec.Struct, frozen=True):
    """An invalid event of a batch, and the reason."""

    index: int
    error: HeadraceError


class Batch(msgspec.Struct, frozen=True):
    """One request's events: the valid and the invalid ones, each in the order in which they were sent."""

    items: list[Item]
    rejections: list[Rejection] = []
