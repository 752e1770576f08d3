"""Events as analysts ask of them: few people under several ids, few names, times that meet and cross changes of clocks."""

import json
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
from hypothesis import strategies as st

from headrace.dialects.wire import labels_and_numbers, object_of
from headrace.model.entries import Record
from headrace.model.event import Event, StoredEvent, Tenant, decode
from headrace.store.clickhouse import ClickHouseStore
from tests.engine import fresh_tenant, records_of

HOUR = 3_600_000
# Berlin's clocks go forward, and back; Lord Howe's by half an hour; Sao Paulo's at midnight; Apia left a day out.
CHANGES = {
    "Europe/Berlin": (1_743_296_400_000, 1_761_440_400_000),
    "Australia/Lord_Howe": (1_743_865_200_000,),
    "America/Sao_Paulo": (1_541_300_400_000,),
    "Pacific/Apia": (1_325_239_200_000,),
    "UTC": (1_735_689_600_000,),
}
ZONES = tuple(CHANGES)
IDS = ("u", "v", "w", "a", "b", "c")
NAMES = ("visit", "sign up", "buy", "é'")
ODD = (
    *("a", "ab", "A", "a.b", "a*", "*", "%", "_", "é", "e\u0301", "😀", "\uffff", "\ufeff", "\u2028", "ß"),
    *("\0", "a\0", "a\0b", "'", '"', "\\", "\\'", "\\0", "\\N", "`", "\t", "\n", "\r\n", "\x7f", "\x1b"),
    *("{name:String}", "{group:String}", "%s", "--", "/*", "';--", "NULL", "null", "true", "5", "5.0", " ", " a "),
)
_values = st.sampled_from((0, 1, 2, 5, -1, 2.5, "x", "5", "", True, False, None, [1], {"b": 1}, {"b": "x", "c": 2}))


@st.composite
def histories(draw: st.DrawFn, most: int = 30) -> list[dict[str, Any]]:
    """The fields of some events. Many have the same time, or one beside a change of clocks."""
    zone = draw(st.sampled_from(ZONES))
    moment = draw(st.sampled_from(CHANGES[zone]))
    near = st.sampled_from((0, 0, 1, -1, HOUR, -HOUR, 25 * HOUR, -23 * HOUR))
    far = st.sampled_from((1, 2, 7, 8, 14, 31, 40, 62, -1, -7, -40)).map(lambda days: days * 24 * HOUR)
    steps = st.booleans().flatmap(lambda is_far: far if is_far else near)
    times = draw(st.lists(steps.map(lambda step: moment + step), min_size=3, max_size=7, unique=True))
    some = _event(st.sampled_from(times))
    return draw(st.lists(some, min_size=8, max_size=most) | st.lists(some, min_size=8, max_size=most) | st.lists(some))


def _event(times: st.SearchStrategy[int]) -> st.SearchStrategy[dict[str, Any]]:
    def made(
        name: str, at_ms: int, ids: tuple[str, str], about: dict[str, Any], plain: dict[str, Any]
    ) -> dict[str, Any]:
        properties, values = object_of(msgspec.Raw(json.dumps(about).encode()), "properties")
        labels, numbers = labels_and_numbers(values, plain["tags"])
        mapped = {"properties": properties, "labels": labels, "numbers": numbers}
        return {"name": name, "timestamp_ms": at_ms, "user_id": ids[0], "anonymous_id": ids[1], **mapped, **plain}

    optional = st.sampled_from(("", "web", "api"))
    plain = st.fixed_dictionaries(
        {
            "source": st.sampled_from(("flux", "solute")),
            "type": st.sampled_from(("track", "page")),
            "service": optional,
            "environment": optional,
            "host": optional,
            "session_id": optional,
            "value": st.none() | st.sampled_from((1.0, 2.0, -0.5)),
            "tags": st.dictionaries(st.sampled_from(("k", "plan")), st.sampled_from(("x", "")), max_size=1),
        }
    )
    ids = st.tuples(st.sampled_from((*IDS[:3], "", "")), st.sampled_from((*IDS[3:], "")))
    about = st.dictionaries(st.sampled_from(("k", "n", "b", "plan")), _values, max_size=3)
    return st.builds(made, st.sampled_from((*NAMES, *NAMES[:2], *NAMES[:2])), times, ids, about, plain)


merges = st.dictionaries(st.sampled_from(IDS), st.sampled_from(IDS), max_size=3).map(
    lambda found: {id_: goes_by for id_, goes_by in found.items() if id_ != goes_by and goes_by not in found}
)


class Inserted(msgspec.Struct, frozen=True):
    tenant: Tenant
    events: Sequence[StoredEvent]


def inserted(store: ClickHouseStore, histories_of: list[dict[str, Any]], strangers: int = 2) -> Inserted:
    """The events in the store under a tenant of their own, and some of them under its neighbours."""
    tenant = fresh_tenant()
    mine = [Event(project=tenant.project, mode="live", **fields) for fields in histories_of]
    theirs = [Event(project=tenant.project, mode="test", **fields) for fields in histories_of[:strangers]]
    records = records_of([*mine, *theirs])
    if records:
        store.insert(records)
    return Inserted(tenant, [_stored(record) for record in records[: len(mine)]])


def _stored(record: Record) -> StoredEvent:
    event = decode(record.payload)
    fields = {field: getattr(event, field) for field in event.__struct_fields__}
    return StoredEvent(id=record.id, position=record.position, **fields)


@contextmanager
def people(store: ClickHouseStore, merged: dict[str, str]) -> Any:
    """Within it, the store knows these people, a page of one id at a time."""
    before = store.people.ids_of, store.people.editions

    def ids_of(_tenant: Tenant, id_: str) -> list[str]:
        person = merged.get(id_, id_)
        found = [person, *(each for each, goes_by in sorted(merged.items()) if goes_by == person)]
        return found if len(found) > 1 else []

    def pages(_tenant: Tenant) -> Iterable[list[tuple[str, str]]]:
        return ([pair] for pair in sorted(merged.items()))

    store.know_people(ids_of)
    store.know_merged(pages)
    try:
        yield ids_of
    finally:
        store.people.ids_of, store.people.editions = before
