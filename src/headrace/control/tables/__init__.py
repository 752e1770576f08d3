"""The tables of the control database, one file for each subject. Migrations create them; a test compares the two.

A new file is imported here, so that `metadata` knows its tables.
"""

from headrace.control.tables import (
    audit,
    console,
    deliveries,
    erasures,
    exports,
    journeys,
    keys,
    ledger,
    people,
    positions,
    projects,
    quarantine,
    reactions,
    replays,
    rules,
    scores,
)
from headrace.control.tables.base import metadata

__all__ = [
    "audit",
    "console",
    "deliveries",
    "erasures",
    "exports",
    "journeys",
    "keys",
    "ledger",
    "metadata",
    "people",
    "positions",
    "projects",
    "quarantine",
    "reactions",
    "replays",
    "rules",
    "scores",
]
