"""From an event to its facts. Pure: the same event and rules always give the same facts."""

import contextlib
from typing import Any

import msgspec

from headrace.model.event import Event, fact_id
from headrace.reactions.conditions import Condition, Malformed, context_of, parse_objects
from headrace.reactions.rules import DEFAULT_TYPE, FactRule

DEFAULT_FACT = "default-fact"
MAX_FIELD_CHARS = 200

Scalar = str | int | float | bool


class Fact(msgspec.Struct, frozen=True):
    """`rule_no` is 0 for the fact that an event is by default, which follows from the event and is never stored."""

    id: str
    type: str
    rule_no: int = 0
    fields: dict[str, Scalar] = {}
    points: int = 0


class FactMaker:
    """One fact rule, ready to run; `no` is the number of its version."""

    def __init__(self, rule: FactRule, no: int) -> None:
        self.rule = rule
        self.no = no
        self.condition = None if rule.when is None else Condition(rule.when)


class Failure(msgspec.Struct, frozen=True):
    """A condition that had no truth value over an event; it counted as false."""

    rule_no: int
    why: str


def fact_of(event_id: str, event: Event, /) -> Fact:
    """The fact that an event is by default: always the same one for the same event."""
    return Fact(fact_id(event_id, DEFAULT_FACT), DEFAULT_TYPE + event.name)


def facts_of(
    event_id: str, event: Event, makers: list[FactMaker], /, default_fields: frozenset[str] = frozenset()
) -> tuple[list[Fact], list[Failure]]:
    """The facts that rules make of the event, in the rules' order, or else its default one; and what failed.

    `default_fields`: the fields that somebody wants of the default fact; those are the properties of that name, or the value.
    """
    facts: list[Fact] = []
    failures: list[Failure] = []
    objects: dict[str, dict[str, Any]] | None = None
    conditions = [maker.condition for maker in makers if maker.condition]
    context = None
    for maker in makers:
        try:
            if objects is None and (maker.condition or maker.rule.fields):
                objects = parse_objects(event)
            if maker.condition:
                context = context or context_of(event, objects or {}, conditions)
                if not maker.condition.holds(context):
                    continue
        except Malformed as malformed:
            failures.append(Failure(maker.no, str(malformed)))
            continue
        rule = maker.rule
        facts.append(
            Fact(
                fact_id(event_id, rule.id),
                rule.fact_type or DEFAULT_TYPE + event.name,
                maker.no,
                _pick(rule.fields, event, objects or {}),
                rule.points,
            )
        )
    if facts:
        return facts, failures
    fact = fact_of(event_id, event)
    if default_fields:
        fields = {name: name if name == "value" else f"properties.{name}" for name in default_fields}
        with contextlib.suppress(Malformed):  # or it has no fields
            fact = msgspec.structs.replace(fact, fields=_pick(fields, event, objects or parse_objects(event)))
    return [fact], failures


def _pick(fields: dict[str, str], event: Event, objects: dict[str, dict[str, Any]]) -> dict[str, Scalar]:
    """The fields that the event has, as far as they are scalars of a bearable length."""
    found: dict[str, Scalar] = {}
    for name, path in fields.items():
        root, _, key = path.partition(".")
        value: object
        if root == "timestamp":
            value = event.timestamp_ms
        elif root == "tags":
            value = event.tags.get(key)
        elif key:
            value = objects[root].get(key)
        else:
            value = getattr(event, root)
        if isinstance(value, str):
            if 0 < len(value) <= MAX_FIELD_CHARS:
                found[name] = value
        elif isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < 2**63):
            found[name] = value
    return found
