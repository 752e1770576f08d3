"""The audit's vocabulary: who did what, to what, from where. Holds no secret and no person's id. No I/O.

Whoever lets an audited request or command in says so once, with `doing`; the first transaction of control that runs inside
records it, and so commits with what it records. No handler and no adapter has to pass it on.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b
from typing import Literal

import msgspec

from headrace.model.event import Mode, Tenant

Outcome = Literal["begun", "done", "refused", "failed"]
"""begun: it was recorded before it was tried, and its end is unknown. refused: nothing was changed. failed: the server failed."""
OUTCOMES: tuple[Outcome, ...] = ("begun", "done", "refused", "failed")

MAX_DETAIL_CHARS = 500


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who acts. `name`: of the key, or of the user that runs a command. `address`: of the client, or a command's host."""

    kind: Literal["key", "command"]
    key_id: str = ""
    prefix: str = ""
    name: str = ""
    address: str = ""


class Deed(msgspec.Struct, kw_only=True):
    """Something that an admin does. `number`: of its row, once it is recorded.

    project, mode: "" where it concerns no one project, or both modes. person: whom it concerns, as a `person_mark`.
    """

    actor: Actor
    action: str
    at_ms: int
    project: str = ""
    mode: Mode | Literal[""] = ""
    target: str = ""
    person: str = ""
    detail: str = ""
    number: int | None = None


class Entry(msgspec.Struct, frozen=True):
    """A recorded deed."""

    number: int
    deed: Deed
    outcome: Outcome


class AuditFilters(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries. `by`: a key's id or prefix, or the name of a key or user. `person`: a mark. from_ms, to_ms: inclusive."""

    project: str = ""
    action: str = ""
    by: str = ""
    person: str = ""
    outcome: Outcome | None = None
    from_ms: int | None = None
    to_ms: int | None = None


_in_hand: ContextVar[Deed | None] = ContextVar("deed", default=None)


@contextmanager
def doing(deed: Deed, /) -> Generator[Deed]:
    """Have the first transaction of control inside record the deed, whichever thread `asyncio.to_thread` runs it in."""
    token = _in_hand.set(deed)
    try:
        yield deed
    finally:
        _in_hand.reset(token)


def deed_to_record() -> Deed | None:
    """The deed that is being done here, unless it is recorded already."""
    deed = _in_hand.get()
    return deed if deed is not None and deed.number is None else None


def add_detail(detail: str, /, tenant: Tenant | None = None, *, project: str = "", person: str = "") -> None:
    """Say more of the deed that is being done here, if there is one: what was made, and for whom. Never a secret."""
    deed = _in_hand.get()
    if deed is None:
        return
    deed.detail = detail[:MAX_DETAIL_CHARS]
    if not deed.project:
        deed.project, deed.mode = (project, "") if tenant is None else (tenant.project, tenant.mode)
    if person:
        deed.person = person_mark(deed.project, person)


def person_mark(project: str, person: str, /) -> str:
    """16 hex digits that stand for a person's id, so that an erased person's entries need no erasing."""
    text = f"{project}\0{person}".encode("utf-8", "surrogatepass")
    return blake2b(text, digest_size=8, person=b"headrace-audit").hexdigest()
