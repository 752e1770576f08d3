"""Makes facts of an event. Pure: the same event and rules always give the same facts, within a limit on work."""

import contextlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from headrace.model.event import Event, fact_id
from headrace.reactions import cost
from headrace.reactions.conditions import Condition, Malformed, TooCostly, load_cel
from headrace.reactions.cost import Path, Size
from headrace.reactions.document import DEFAULT_TYPE, FactRule
from headrace.reactions.reach import REACH_NS
from headrace.reactions.reading import MAX_FIELD_CHARS, Reading, Scalar

__all__ = ["DEFAULT_FACT", "MAX_FIELD_CHARS", "Fact", "FactMaker", "Failure", "Scalar", "fact_of", "facts_of"]

DEFAULT_FACT = "default-fact"


class Fact(msgspec.Struct, frozen=True):
    """A fact. `rule_no` is 0 for an event's default fact, which is derived from the event and never stored."""

    id: str
    type: str
    rule_no: int = 0
    fields: dict[str, Scalar] = {}


class FactMaker:
    """A fact rule, ready to run. `no` is the number of its version.

    `refused` says why its condition cannot be used although an earlier version of this program accepted it. It matches no event.
    """

    def __init__(self, rule: FactRule, no: int) -> None:
        self.rule = rule
        self.no = no
        self.condition: Condition | None = None
        self.refused = ""
        try:
            self.condition = None if rule.when is None else Condition(rule.when)
        except Malformed as malformed:
            self.refused = f"it is no longer accepted: {malformed}"


class Failure(msgspec.Struct, frozen=True):
    """A condition without a truth value for an event, which counts as false.

    `too_costly`: it was not evaluated, because that would have taken more work than one event may cause.
    """

    rule_no: int
    why: str
    too_costly: bool = False


def fact_of(event_id: str, event: Event, /) -> Fact:
    """An event's default fact, always the same for the same event."""
    return Fact(fact_id(event_id, DEFAULT_FACT), DEFAULT_TYPE + event.name)


def facts_of(
    event_id: str, event: Event, makers: Sequence[FactMaker], /, default_fields: frozenset[str] = frozenset()
) -> tuple[list[Fact], list[Failure]]:
    """The facts that rules make of the event, in the rules' order, or else its default fact; and the failures.

    default_fields: the fields wanted of the default fact: the properties of these names, or the value.
    """
    facts: list[Fact] = []
    failures: list[Failure] = []
    reading = Reading(event)
    context, refused = _prepared(reading, makers)
    for maker in makers:
        rule = maker.rule
        try:
            if maker.condition:
                if why := refused.get(maker.condition):
                    raise why
                if not maker.condition.holds(context):
                    continue
            elif maker.refused:
                raise Malformed(maker.refused)
            fields = _pick(rule.fields, event, reading) if rule.fields else {}
        except Malformed as malformed:
            failures.append(Failure(maker.no, str(malformed), isinstance(malformed, TooCostly)))
            continue
        facts.append(Fact(fact_id(event_id, rule.id), rule.fact_type or DEFAULT_TYPE + event.name, maker.no, fields))
    if facts:
        return facts, failures
    fact = fact_of(event_id, event)
    if default_fields:
        paths = {name: name if name == "value" else f"properties.{name}" for name in default_fields}
        with contextlib.suppress(Malformed):  # or it has no fields
            fact = msgspec.structs.replace(fact, fields=_pick(paths, event, reading))
    return [fact], failures


class _Plan(msgspec.Struct, frozen=True, gc=False):
    """Everything that some rules read, together.

    reserved: the cost of their facts. is_bounded: over a plain event they stay within all limits, as rules do that were applied
    by this version of the program; older ones may not.
    """

    conditions: tuple[Condition, ...]
    paths: tuple[Path, ...]
    reserved: float
    is_bounded: bool


@lru_cache(1024)
def _plan(makers: tuple[FactMaker, ...]) -> _Plan:
    conditions = tuple(maker.condition for maker in makers if maker.condition)
    paths = sorted({path for each in conditions for path in each.paths}, key=repr)
    reserved = sum(cost.FACT_NS + len(maker.rule.fields) * cost.PICK_NS for maker in makers)
    plain = sum(each.work.at_plain() for each in conditions)
    return _Plan(conditions, tuple(paths), reserved, plain + reserved <= REACH_NS)


def _prepared(reading: Reading, makers: Sequence[FactMaker]) -> tuple[Any, dict[Condition, Malformed]]:
    """The values over which conditions are evaluated, and the conditions that are not evaluated, with the reason."""
    plan = _plan(tuple(makers))
    if not plan.conditions:
        return None, {}
    refused: dict[Condition, Malformed] = {}
    paths: Sequence[Path] = plan.paths
    try:
        if not plan.is_bounded or not reading.is_plain(paths):
            refused = _too_costly(reading, plan)
            taken = {path for each in plan.conditions if each not in refused for path in each.paths}
            paths = [path for path in plan.paths if path in taken]
    except Malformed as malformed:
        return None, dict.fromkeys(plan.conditions, malformed)
    values, failed = reading.values(paths)
    if failed:
        for condition in plan.conditions:
            if condition not in refused and (
                why := next((failed[path] for path in condition.paths if path in failed), None)
            ):
                refused[condition] = Malformed(why)
    return load_cel().Context(variables={"event": values}), refused


def _too_costly(reading: Reading, plan: _Plan) -> dict[Condition, Malformed]:
    sizes = {path: size for path in plan.paths if (size := reading.size(path))}
    conditions = plan.conditions
    wanted = [cost.Wanted(each.work.at(sizes), each.paths) for each in conditions]
    taken = cost.admitted(wanted, {path: size.handing() for path, size in sizes.items()}, plan.reserved)
    return {
        condition: TooCostly(_not_evaluated(condition, each.work, sizes))
        for condition, each, is_taken in zip(conditions, wanted, taken, strict=True)
        if not is_taken
    }


def _not_evaluated(condition: Condition, work: float, sizes: dict[Path, Size]) -> str:
    read = [sizes[path] for path in condition.paths if path in sizes]
    items, length = (sum(each) for each in zip(*read, strict=True)) if read else (0, 0)
    handing = sum(size.handing() for size in read)
    return (
        f"it was not evaluated, the event is too large: it reads {length} bytes with {items} items, "
        f"which could take {cost.milliseconds(work + handing)} ({condition.text[:60]})"
    )


def _pick(fields: dict[str, str], event: Event, reading: Reading) -> dict[str, Scalar]:
    """The fields that the event has, if they are scalars within the length limit. Raises Malformed."""
    found: dict[str, Scalar] = {}
    for name, path in fields.items():
        root, _, key = path.partition(".")
        value: Scalar | None
        if root == "tags":
            value = reading.tag(key)
        elif key:
            value = reading.scalar(root, key)
        elif root == "timestamp":
            value = event.timestamp_ms
        else:
            value = reading.field(root)
        if value is not None:
            found[name] = value
    return found
