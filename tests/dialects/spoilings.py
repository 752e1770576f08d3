"""Batches of every dialect in which one event is spoilt, in each of the ways below. Sends nothing, parses nothing.

The same bodies go through the parsers (test_neighbours.py) and over HTTP (`make fuzz`).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple

# JSON values that are none: inside an event, each makes that event unreadable.
BROKEN_VALUES: dict[str, bytes] = {
    "NaN": b"NaN",
    "Infinity": b"-Infinity",
    "zero in front": b"01",
    "no digit after the point": b"1.",
    "no digit before the point": b".5",
    "plus": b"+1",
    "hexadecimal": b"0x10",
    "exponent alone": b"1e",
    "undefined": b"undefined",
    "Python's True": b"True",
    "single quotes": b"'a'",
    "nothing": b"",
    "control character": b'"a\x01b"',
    "line break in a string": b'"a\nb"',
    "unknown escape": rb'"\x41"',
    "short escape": rb'"\u12"',
    "half a surrogate's escape": rb'"\ud8"',
    "quotes inside quotes": b'"say "hi" now"',
    "no UTF-8": b'"\xff"',
    "cut inside a character": b'"\xf0\x9f\x98"',
    "surrogate as bytes": b'"\xed\xa0\xbd"',
    "trailing comma": b"[1,]",
    "trailing comma in an object": b'{"a":1,}',
    "no comma": b"[1 2]",
    "no colon": b'{"a" 1}',
    "key without quotes": b"{a:1}",
    "key that is a number": b"{1:1}",
    "comment": b"/* a */ 1",
    "array not closed": b"[1",
    "nested too deeply": b"[" * 3000 + b"]" * 3000,
}
# What is JSON, or becomes it: the event with it is stored.
MENDED_VALUES: dict[str, bytes] = {
    "high surrogate": rb'"cut \ud83d"',
    "low surrogate": rb'"\uDE00 cut"',
    "two high surrogates": rb'"\ud83d\ud83d"',
    "high, high, low": rb'"\ud83d\ud83d\ude00"',
    "low, high": rb'"\ude00\ud83d"',
    "surrogate in a key": rb'{"a\udfff":1}',
    "surrogate deep inside": rb'[[{"a":["\uD800"]}]]',
    "surrogate after a backslash": rb'"\\\ud83d"',
    "escaped backslash": rb'"\\ud83d"',
    "pair": rb'"\ud83d\ude00"',
}
# What no event is, in place of one.
NO_EVENTS: dict[str, bytes] = {
    "number": b"7",
    "string": b'"x"',
    "true": b"true",
    "null": b"null",
    "array": b"[[]]",
    "words": b"never mind",
    "two objects": b"{} {}",
    "brace too many": b"{}}",
    "NaN alone": b"NaN",
    "bytes": b"\xff\xfe",
}


class Batches(NamedTuple):
    """How a dialect's batch is written: the events by their number, and what stands around them."""

    path: str
    event: Callable[[int], dict[str, Any]]
    around: tuple[bytes, bytes]
    between: bytes = b","
    headers: dict[str, str] = {}

    def body(self, events: Sequence[bytes]) -> bytes:
        return self.around[0] + self.between.join(events) + self.around[1]


class Spoilt(NamedTuple):
    body: bytes
    place: int
    stored: bool  # whether the event at the place is fit to be stored


def _flux(number: int) -> dict[str, Any]:
    return {"name": f"e{number}", "properties": {"n": number}, "tags": {"t": "a"}}


def _spec(number: int) -> dict[str, Any]:
    return {
        "type": "track",
        "event": f"e{number}",
        "userId": "u",
        "messageId": f"m{number}",
        "timestamp": "2025-01-15T10:30:00Z",
        "context": {},
    }


def _mixpanel(number: int) -> dict[str, Any]:
    return {"event": f"e{number}", "properties": {"token": "k", "distinct_id": "u", "time": 1736937000 + number}}


_LIST = (b"[", b"]")
_LINES = {"Content-Type": "application/x-ndjson"}
BATCHES: dict[str, Batches] = {
    "flux": Batches("/api/v1/events/batch", _flux, (b'{"events":[', b"]}")),
    "flux bare": Batches("/api/v1/events/batch", _flux, (b"\xef\xbb\xbf [ ", b" ] ")),
    "flux gem events": Batches("/api/v1/flux/batch", _flux, (b'{"metrics":[],"events":[', b"]}")),
    "flux gem metrics": Batches(
        "/api/v1/flux/batch",
        lambda number: {"name": f"e{number}", "type": "gauge", "value": 1},
        (b'{"events":[],"metrics":[', b"]}"),
    ),
    "flux metrics": Batches(
        "/api/v1/metrics/batch",
        lambda number: {"name": f"e{number}", "type": "counter"},
        (b'{"metrics":[', b"]}"),
    ),
    "flux lines": Batches("/api/v1/events/batch", _flux, (b"", b"\n"), b"\n", headers=_LINES),
    "native lines": Batches("/api/v1/lines", _flux, (b"\n", b""), b"\r\n", headers=_LINES),
    "native array": Batches("/api/v1/lines", _flux, _LIST),
    "bricqs": Batches(
        "/api/v1/ingest/events/batch",
        lambda number: {"event_name": f"e{number}", "participant_id": "u"},
        (b'{ "events" : [', b"] }"),
    ),
    "solute": Batches("/api/events", _spec, (b'{"sentAt":"2025-01-15T10:30:05Z","batch":[', b"]}")),
    "segment": Batches("/v1/batch", _spec, (b'{"batch":[', b'],"sentAt":"2025-01-15T10:30:05Z"}')),
    "segment beacon": Batches(
        "/beacon/v1/batch", _spec, (b'{"batch":[', b"]}"), headers={"Content-Type": "text/plain"}
    ),
    "jitsu": Batches("/api/s/s2s/batch", _spec, (b'{"batch":[', b"]}")),
    "posthog": Batches("/batch", lambda number: {"event": f"e{number}", "distinct_id": "u"}, (b'{"batch":[', b"]}")),
    "posthog array": Batches("/e", lambda number: {"event": f"e{number}", "distinct_id": "u"}, _LIST),
    "amplitude": Batches(
        "/2/httpapi", lambda number: {"event_type": f"e{number}", "user_id": "u"}, (b'{"events":[', b"]}")
    ),
    "mixpanel track": Batches("/track", _mixpanel, _LIST),
    "mixpanel import": Batches("/import", _mixpanel, _LIST),
    "mixpanel lines": Batches("/import", _mixpanel, (b"", b"\n"), b"\n"),
    "mixpanel engage": Batches("/engage", lambda number: {"$distinct_id": f"e{number}", "$set": {"a": 1}}, _LIST),
    "mixpanel groups": Batches(
        "/groups", lambda number: {"$group_key": "c", "$group_id": f"e{number}", "$set": {"a": 1}}, _LIST
    ),
    "cloudevents": Batches(
        "/v1/cloudevents",
        lambda number: {"specversion": "1.0", "id": f"i{number}", "source": "/s", "type": f"e{number}"},
        _LIST,
        headers={"Content-Type": "application/cloudevents-batch+json"},
    ),
}
WHOLE_OR_NOTHING = ("amplitude",)  # and says which event was wrong, which its SDKs then leave out
COUNT = 5


def spelled(event: dict[str, Any]) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _with_member(event: bytes, value: bytes, *, last: bool) -> bytes:
    """The event with one more member, of a name that no dialect reads."""
    return event[:-1] + b',"zz":' + value + b"}" if last else b'{"zz":' + value + b"," + event[1:]


def _spoilt(batches: Batches, place: int, event: bytes, *, stored: bool, first: int = 0) -> Spoilt:
    events = [spelled(batches.event(first + number)) for number in range(COUNT)]
    events[place] = event
    return Spoilt(batches.body(events), place, stored)


def all_of(batches: Batches) -> Iterator[tuple[str, Spoilt]]:
    """Every spoiling, at the first, a middle and the last place."""
    for place in (0, 2, COUNT - 1):
        event = spelled(batches.event(place))
        lines = batches.between.endswith(b"\n")
        for values, stored in ((BROKEN_VALUES, False), (MENDED_VALUES, True)):
            for name, value in values.items():
                if lines and b"\n" in value:  # in lines of JSON that is the end of a line
                    continue
                for last in (False, True):
                    spoilt = _with_member(event, value, last=last)
                    yield f"{name} at {place}", _spoilt(batches, place, spoilt, stored=stored)
        for name, other in NO_EVENTS.items():
            # Lines need no comma, so an object that follows another is a document of its own; and by the first one a body of
            # lines is told from a form.
            if not (lines and (name == "two objects" or place == 0)):
                yield f"{name} at {place}", _spoilt(batches, place, other, stored=False)


def at_random(chance: Random, first: int) -> tuple[str, Spoilt]:
    """One batch of any dialect, of events numbered from `first`, with one spoiling anywhere."""
    name = chance.choice(list(BATCHES))
    batches, place = BATCHES[name], chance.randrange(COUNT)
    stored = chance.random() < 0.5
    value = chance.choice(list((MENDED_VALUES if stored else BROKEN_VALUES).values()))
    if batches.between.endswith(b"\n") and b"\n" in value:
        value = b"NaN"
    event = _with_member(spelled(batches.event(first + place)), value, last=chance.random() < 0.5)
    return name, _spoilt(batches, place, event, stored=stored, first=first)
