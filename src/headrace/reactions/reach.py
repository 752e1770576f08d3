"""What the rules that one event can reach cost together. Pure.

An event reaches the rules about its name, and those about any beginning of it (`order.*`). Each is counted over a plain event, of
which only texts, numbers and booleans are read; over what is larger, each event has the same bound (see cost.admitted).
"""

from collections.abc import Sequence
from typing import NamedTuple

from headrace.reactions import cost

REACH_NS = cost.EVENT_NS - cost.EVALUATION_NS  # the rest is for handing the event over


class Share(NamedTuple):
    """What one rule costs over a plain event, and which events it is about: a name, or what names begin with and a `*`."""

    rule_id: str
    events: str
    work: float


def dearest_reach(shares: Sequence[Share], /) -> tuple[str, list[Share]]:
    """The name, or the beginning of names, whose events reach the most work; and the rules that they reach, the dearest first."""
    exact: dict[str, float] = {}
    beginnings: dict[str, float] = {}
    for share in shares:
        if share.events.endswith("*"):
            beginnings[share.events[:-1]] = beginnings.get(share.events[:-1], 0.0) + share.work
        else:
            exact[share.events] = exact.get(share.events, 0.0) + share.work

    def work_of(name: str) -> float:
        return sum(work for beginning, work in beginnings.items() if name.startswith(beginning))

    # Any other name matches the same beginnings as one of these, or fewer.
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
    """What is wrong where some events reach more work than the bound, for the rules' author; or ""."""
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
