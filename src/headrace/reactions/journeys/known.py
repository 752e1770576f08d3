"""The values for a journey's conditions: an event, the person, and the outcomes of earlier steps. Pure, and bounded.

An evaluation costs at most what cost.py allows for one, and everything that one event causes what it allows for an event.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from headrace.model.errors import InvalidRequest
from headrace.model.event import Event
from headrace.model.journeys import Person, Visit
from headrace.model.zones import UTC_ZONE, Zone, zone_of
from headrace.reactions import cost
from headrace.reactions.conditions import Condition, Malformed, TooCostly, load_cel
from headrace.reactions.cost import Path, Size
from headrace.reactions.paths import variable
from headrace.reactions.reading import Reading, cel_value_of, size_of
from headrace.reactions.surroundings import ROOTS

_ONE = Size(1, 8)
_raw_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Meter:
    """The work that one event, or one timer, has caused so far. Limited to what an event may cause."""

    def __init__(self) -> None:
        self._left = float(cost.EVENT_NS)

    def take(self, work: float) -> bool:
        if work > self._left:
            return False
        self._left -= work
        return True


class Known:
    """The values that a condition may read. `event` is None if the run's first event was too large to keep."""

    def __init__(
        self,
        event: Event | None,
        person: Callable[[], Person],
        visits: Mapping[str, Visit],
        read_event: Callable[[Visit], Event],
    ) -> None:
        """person: called if a condition reads it. visits: the latest of each step. read_event: decodes a visit's event."""
        self._reading = None if event is None else Reading(event)
        self._person = person
        self._visits = visits
        self._read_event = read_event
        self._events: dict[str, Reading] = {}
        self._traits: dict[str, msgspec.Raw] | None = None

    def holds(self, condition: Condition, meter: Meter, /) -> bool:
        """Whether a condition is true. Raises Malformed (or TooCostly) with the reason if it has no truth value."""
        sizes = {path: size for path in condition.paths if (size := self._size(path))}
        work = condition.work.at(sizes)
        handing = sum(size.handing() for size in sizes.values())
        if work > cost.EVALUATION_NS or handing > cost.EVALUATION_NS or not meter.take(work + handing):
            items, length = (sum(each) for each in zip(*sizes.values(), strict=True)) if sizes else (0, 0)
            raise TooCostly(
                f"it was not evaluated, what it reads is too large: {length} bytes with {items} items, which could take "
                f"{cost.milliseconds(work + handing)} ({condition.text[:60]})"
            )
        values = {variable(path): value for path in condition.paths if (value := self._value(path)) is not None}
        return condition.holds(load_cel().Context(variables={"event": values}))

    def _size(self, path: Path) -> Size | None:
        if path[0] not in ROOTS:
            return self._of_event().size(path)
        match self._found(path):
            case None:
                return None
            case Reading() as reading, inner:
                return reading.size(inner)
            case bytes() as raw:
                return size_of(raw)
            case str() as text:
                return Size(1, 4 * len(text))
            case _:
                return _ONE

    def _value(self, path: Path) -> Any:
        if path[0] not in ROOTS:
            return _only(self._of_event(), path)
        match self._found(path):
            case Reading() as reading, inner:
                return _only(reading, inner)
            case bytes() as raw:
                return cel_value_of(raw)
            case found:
                return found

    def _of_event(self) -> Reading:
        if self._reading is None:
            raise Malformed("the event that started the run is too large to be kept")
        return self._reading

    def _found(self, path: Path) -> "bytes | str | bool | tuple[Reading, Path] | None":
        """The value at a path: JSON, a text, a boolean, or a path within another event; None if there is none."""
        key = path[1] or ""
        return self._of_person(key) if path[0] == "person" else self._of_step(key)

    def _of_person(self, key: str) -> bytes | str | None:
        person = self._person()
        part, _, name = key.partition("/")
        if part == "id":
            return person.id
        if part == "groups":
            return person.groups.get(name) if name else msgspec.json.encode(person.groups)
        if not name:
            return person.traits.encode() or b"{}"
        if self._traits is None:
            self._traits = _raw_members.decode(person.traits) if person.traits else {}
        raw = self._traits.get(name)
        return None if raw is None or (text := bytes(raw)) == b"null" else text

    def _of_step(self, key: str) -> "bytes | bool | tuple[Reading, Path] | None":
        step, given, *inner = key.split("/", 3)
        visit = self._visits.get(step)
        if visit is None:
            return None
        if given == "happened":
            return visit.outcome in ("happened", "replied", "emitted", "waited", "then")
        if given == "reply":
            return visit.reply.encode() or None
        if not visit.event_id:
            return None
        if not inner:
            return True
        if not visit.event:
            raise Malformed(f"the event of step {step!r} is too large to be kept")
        if step not in self._events:
            self._events[step] = Reading(self._read_event(visit))
        return self._events[step], (inner[0], inner[1] if len(inner) == 2 else None)


def _only(reading: Reading, path: Path) -> Any:
    """Raises Malformed."""
    values, failed = reading.values([path])
    if path in failed:
        raise Malformed(failed[path])
    return values.get(variable(path))


def zone_of_person(person: Person, /) -> Zone:
    """The zone named by a person's trait `time_zone` or `timezone`, else UTC."""
    try:
        traits = _zones_decoder.decode(person.traits or "{}")
    except msgspec.DecodeError:
        return UTC_ZONE
    for name in (traits.time_zone, traits.timezone):
        if isinstance(name, str):
            try:
                return zone_of(name)
            except InvalidRequest:
                continue
    return UTC_ZONE


class _Zones(msgspec.Struct):
    time_zone: object = None
    timezone: object = None


_zones_decoder = msgspec.json.Decoder(_Zones)
