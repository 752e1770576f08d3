"""A project's rules as control keeps them: documents and numbers. Knows no rule's meaning, and no I/O."""

import msgspec


class Version(msgspec.Struct, frozen=True):
    """One application of a project's rules; `id` grows with each. `document` is JSON."""

    id: int
    version: str
    applied_at_ms: int
    document: str


class RuleRow(msgspec.Struct, frozen=True):
    """One version of one rule, how its condition has failed, and how many events it did not look at."""

    no: int
    kind: str
    rule_id: str
    version: str
    failures: int = 0
    failed_event: str = ""
    failed_why: str = ""
    passed_over: int = 0


class PassedOver(msgspec.Struct, frozen=True):
    """An event that a rule's condition did not look at, and why not."""

    event_id: str
    why: str
