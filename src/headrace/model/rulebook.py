"""A project's rules as control keeps them: documents and numbers. Knows no rule's meaning, and no I/O."""

import msgspec


class Version(msgspec.Struct, frozen=True):
    """One application of a project's rules; `id` grows with each. `document` is JSON."""

    id: int
    version: str
    applied_at_ms: int
    document: str


class RuleRow(msgspec.Struct, frozen=True):
    """One version of one rule, and how its condition has failed."""

    no: int
    kind: str
    rule_id: str
    version: str
    failures: int = 0
    failed_event: str = ""
    failed_why: str = ""
    passed_over: int = 0
