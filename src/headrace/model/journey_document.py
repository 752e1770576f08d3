"""The structures of a journey in a rules document. No I/O; reactions/journeys/document.py checks them."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec
from msgspec import Meta

MAX_AT_ONCE = 10
MAX_EXITS = 20

Text = Annotated[str, Meta(max_length=2000)]
Id = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Pattern = Annotated[str, Meta(min_length=1, max_length=200)]
StepKind: TypeAlias = Literal["wait", "wait_for", "branch", "emit", "call"]
KINDS: tuple[StepKind, ...] = ("wait", "wait_for", "branch", "emit", "call")


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True): ...


class Trigger(_Part, frozen=True, kw_only=True):
    """Events of a name, or of names with a prefix (`order.*`), for which a condition holds."""

    event: Pattern
    when: str | None = None


class Limits(_Part, frozen=True, kw_only=True):
    """How often a person may enter: once per `per`, or any number of times with up to `at_most` runs at once."""

    per: str | None = None
    at_most: Annotated[int, Meta(ge=1, le=MAX_AT_ONCE)] | None = None


class Until(_Part, frozen=True, kw_only=True):
    """Wait until clocks next show `until`, in a named zone or, for `person`, in the person's zone."""

    until: str
    time_zone: str = "UTC"


class WaitFor(_Part, frozen=True, kw_only=True):
    event: Pattern
    timeout: str | None = None  # required; a missing one gets its own message
    when: str | None = None


class Branch(_Part, frozen=True, kw_only=True):
    when: str
    then: "list[Step]" = []
    else_: "list[Step]" = msgspec.field(default=[], name="else")


class Emit(_Part, frozen=True, kw_only=True):
    event: Annotated[str, Meta(min_length=1, max_length=200)]
    properties: dict[str, Any] = {}


class Call(_Part, frozen=True, kw_only=True):
    webhook: Annotated[str, Meta(pattern=r"^[a-z0-9_-]{1,64}$")]
    body: dict[str, Any] = {}


class Step(_Part, frozen=True, kw_only=True):
    """One of the five kinds."""

    id: Id
    title: Text = ""
    wait: str | Until | None = None
    wait_for: WaitFor | None = None
    branch: Branch | None = None
    emit: Emit | None = None
    call: Call | None = None

    @property
    def kind(self) -> StepKind:
        """The first kind that is set; a checked step has exactly one."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)


class JourneyRule(_Part, frozen=True, kw_only=True):
    """The steps that a person goes through once an event has started the journey."""

    points: ClassVar[int] = 0  # which other rules may use

    id: Id
    title: Text = ""
    description: Text = ""
    trigger: Trigger
    entry: Literal["once"] | Limits = "once"
    exit: Annotated[list[Pattern], Meta(max_length=MAX_EXITS)] = []
    steps: list[Step] = []

    def patterns(self) -> list[str]:
        """The events that may start, move or end a run."""
        awaited = [step.wait_for.event for step in all_steps(self.steps) if step.wait_for is not None]
        return list(dict.fromkeys([self.trigger.event, *awaited, *self.exit]))


def all_steps(steps: Sequence[Step], /) -> Iterator[Step]:
    """Every step, including those within branches, in the order of the document."""
    for step in steps:
        yield step
        if step.branch is not None:
            yield from all_steps(step.branch.then)
            yield from all_steps(step.branch.else_)
