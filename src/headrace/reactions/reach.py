"""The common cost of all rules that a single event can reach. Pure.

An event reaches the rules for its name, and those for any prefix of it (`order.*`). Each is counted over a plain event, of which
only texts, numbers and booleans are read. Larger events have their own limit (see cost.admitted).
"""

from collections.abc import Sequence
from typing import NamedTuple

from headrace.reactions import cost

REACH_NS = cost.EVENT_NS - cost.EVALUATION_NS  # the rest is reserved for handing the event over


class Share(NamedTuple):
    """The cost of one rule over a plain event, and the events that it matches: a name, or a prefix and `*`."""

    rule_id: str
    events: str
    work: float


def dearest_reach(shares: Sequence[Share], /) -> tuple[str, list[Share]]:
    """The name, or prefix of names, whose events reach the most work, and the rules that they reach, the most expensive first."""
    exact: dict[str, float] = {}
    beginnings: dict[str, float] = {}
    for share in shares:
        if share.events.endswith("*"):
            beginnings[share.events[:-1]] = beginnings.get(share.events[:-1], 0.0) + share.work
        else:
            exact[share.events] = exact.get(share.events, 0.0) + share.work

    def work_of(name: str) -> float:
        return sum(work for beginning, work in beginnings.items() if name.startswith(beginning))

    # Any other name matches the same prefixes as one of these, or fewer.
    found = {f"{name}*": work_of(name) for name in beginnings} | {
        name: work + work_of(name) for name, work in exact.items()
    }
    if not found:
        return "", []
    name = max(found, key=lambda each: found[each])
    reached = [
        share
        for share in shares
        if share.events == name or (share.events.endswith("*") and name.removesuffix("*").startswith(share.events[:-1]))
    ]
    return name, sorted(reached, key=lambda share: -share.work)


def excess_of(shares: Sequence[Share], what: str = "fact rules", /) -> str:
    """The message to the rules' author if some events reach more work than the limit, or ""."""
    name, reached = dearest_reach(shares)
    work = sum(share.work for share in reached)
    if work <= REACH_NS:
        return ""
    events = f"whose name begins with {name[:-1][:80]!r}" if name.endswith("*") else f"named {name[:80]!r}"
    dearest = ", ".join(f"{share.rule_id!r} ({cost.milliseconds(share.work)})" for share in reached[:3])
    return (
        f"an event {events} reaches {len(reached)} {what}, which could take {cost.milliseconds(work)} together; "
        f"the limit is {cost.milliseconds(REACH_NS)}. The most expensive are {dearest}"
    )
