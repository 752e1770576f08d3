"""A project's rules as control keeps them: documents and numbers. Does not interpret rules. No I/O."""

from collections.abc import Sequence

import msgspec

from headrace.model.event import Mode
from headrace.model.journeys import JourneyVersion


class Version(msgspec.Struct, frozen=True):
    """One application of a project's rules. `id` grows with each; `document` is JSON.

    source: the text that was applied, YAML or JSON, comments included; "" if an earlier headrace applied it.
    """

    id: int
    version: str
    applied_at_ms: int
    document: str
    source: str = ""


class RuleRow(msgspec.Struct, frozen=True):
    """One version of one rule, its condition's failures, and the number of events that it passed over."""

    no: int
    kind: str
    rule_id: str
    version: str
    failures: int = 0
    failed_event: str = ""
    failed_why: str = ""
    passed_over: int = 0


class Application(msgspec.Struct, frozen=True):
    """A document to be put in force for a project.

    meanings: (kind, rule id, version) of each rule in it.
    journeys: the journeys in it. move: runs of other versions continue by these, if their current step still exists.
    source: the text that was sent.
    renamed: (kind, rule id, version, current name) of rules whose state continues under another name.
    """

    project: str
    version: str
    document: str
    meanings: Sequence[tuple[str, str, str]]
    journeys: Sequence[JourneyVersion] = ()
    source: str = ""
    move: bool = False
    renamed: Sequence[tuple[str, str, str, str]] = ()


class Fired(msgspec.Struct, frozen=True):
    """How often a version of a rule has fired in a mode, and at which event last; "" if that was erased.

    A fact rule fires for every fact that it makes, a challenge when an event completes it, a badge when it is awarded, a journey
    when a run begins.
    """

    count: int = 0
    last_event: str = ""


class PutAside(msgspec.Struct, frozen=True):
    """A rule that is no longer evaluated for new events of a mode, and the event at which that began."""

    rule_no: int
    mode: Mode
    event_id: str
    why: str


class PassedOver(msgspec.Struct, frozen=True):
    """An event for which a rule's condition was not evaluated, and the reason."""

    event_id: str
    why: str
