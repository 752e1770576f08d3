"""The query builders as text: each binds its tenant, and what a user sent is never in the SQL."""

import inspect
import re
from collections.abc import Callable
from types import FunctionType, ModuleType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.model.conditions import Condition, Field
from headrace.model.event import Tenant, position_of, tail_of
from headrace.model.event_queries import EventQuery
from headrace.model.filters import MAX_BUCKETS, CatalogPage, Cursor, Dimension, Filters, Page
from headrace.model.funnels import FunnelQuery, PathsQuery, RetentionQuery, Step
from headrace.model.measures import Question
from headrace.model.times import LATEST_MS
from headrace.model.zones import DAY_MS, INTERVALS, Interval, zone_of
from headrace.store.queries import (
    analysis,
    catalog,
    conditions,
    counts,
    events,
    exports,
    funnels,
    merged,
    metrics,
    people,
    upkeep,
)
from headrace.store.queries.conditions import Query
from headrace.store.queries.events import PageBounds
from headrace.store.queries.place import Place

BERLIN = zone_of("Europe/Berlin")

ID = "0197a6b2c4d07e8f8000000000000001"
Builder = Callable[[Tenant, Filters, Dimension, Interval, Page], Query]
BUILDERS: dict[str, Builder] = {
    "total": lambda tenant, filters, *_: counts.total(tenant, filters),
    "outline": lambda tenant, filters, _dimension, _interval, page: events.outline(tenant, filters, page),
    "newest_of_user": lambda tenant, filters, _dimension, _interval, page: events.newest_of_user(
        tenant, filters, page, 9
    ),
    "newest_of_busy_user": lambda tenant, filters, _dimension, _interval, page: events.newest_of_busy_user(
        tenant, filters, page
    ),
    "keys": lambda tenant, filters, _dimension, _interval, page: events.keys(tenant, filters, page, _bounds(filters)),
    "whole": lambda tenant, filters, _dimension, _interval, page: events.whole(tenant, filters, page, _bounds(filters)),
    "owned": lambda tenant, filters, *_: upkeep.owned(tenant, [filters.user_id or "u"], 0, 9, 5),
    "old": lambda tenant, *_: upkeep.old(tenant, 5, 0, 9),
    "in_order": lambda tenant, *_: events.in_order(tenant, 0, 9, 5),
    "matching": lambda tenant, filters, *_: events.matching(tenant, filters, 0, 9, 5),
    "rows": lambda tenant, filters, *_: events.rows(tenant, [(*each, 7) for each in _bounds(filters).moments]),
    "get": lambda tenant, *_: events.get(tenant, [ID]),
    "series": lambda tenant, filters, _dimension, interval, _page: counts.series(tenant, filters, interval, BERLIN),
    "groups": lambda tenant, filters, dimension, *_: counts.groups(tenant, filters, dimension),
    "stats": lambda tenant, filters, dimension, *_: counts.stats(tenant, filters, _field(dimension)),
    "stats_exactly": lambda tenant, filters, dimension, *_: counts.stats_exactly(tenant, filters, _field(dimension)),
    "observed": lambda tenant, *_: catalog.observed(tenant, "name", 9, "s"),
    "observed_lately": lambda tenant, *_: catalog.observed_lately(tenant, "name", 9, "s"),
    "names_total": lambda tenant, filters, *_: catalog.names_total(tenant, _catalog_page(filters)),
    "names": lambda tenant, filters, *_: catalog.names(tenant, _catalog_page(filters)),
    "properties": lambda tenant, filters, *_: catalog.properties(tenant, [filters.name or ""]),
    "latest": lambda tenant, filters, *_: catalog.latest(tenant, [(filters.name or "", 0)]),
    "frequent_groups": lambda tenant, filters, dimension, *_: counts.frequent_groups(tenant, filters, dimension),
    "metrics": lambda tenant, filters, *_: metrics.metrics(tenant, filters.name, upto=filters.name),
    "tag_keys": lambda tenant, filters, *_: metrics.tag_keys(tenant, filters.name or "n", "gauge"),
    "measured": lambda tenant, filters, dimension, interval, _page: analysis.measured(
        tenant,
        EventQuery(
            filters=filters,
            measure="p95",
            number=Field("property", (dimension.key, dimension.key)),
            breakdown=(Field("tag", (dimension.key,)), Field("property", (dimension.key,)), Field("person")),
            interval=interval,
            zone=BERLIN,
        ),
        4321,
        grouped=True,
        by_period=True,
        only=[5],
    ),
    "funnel": lambda tenant, filters, dimension, *_: funnels.funnel(
        tenant,
        FunnelQuery(
            filters=filters, steps=2 * [_step(filters)], window_ms=9, breakdown=(Field("property", (dimension.key,)),)
        ),
        4321,
    ),
    "retention": lambda tenant, filters, *_: funnels.retention(
        tenant,
        RetentionQuery(
            filters=filters, first=_step(filters), returning=_step(filters), period="month", periods=3, zone=BERLIN
        ),
        4321,
    ),
    "paths": lambda tenant, filters, *_: funnels.paths(
        tenant,
        PathsQuery(filters=filters, start=_step(filters), direction="before", steps=3, window_ms=9),
        None,
    ),
    "figures": lambda tenant, filters, dimension, _interval, _page: metrics.figures(
        tenant,
        Question("n", "gauge", filters, ("p95", "last"), "1h", dimension.key or "k"),
        by_bucket=True,
        groups=[dimension.key],
        frequent_only=True,
    ),
}
# Of their own module: there are two builders called `whole`.
BUILDERS |= {
    "exports.left": lambda tenant, filters, *_: exports.left(tenant, filters, 0, 9),
    "exports.places": lambda tenant, filters, *_: exports.places(tenant, filters, 0, 9, 5),
    "exports.whole": lambda tenant, filters, *_: exports.whole(tenant, filters, 0, 9),
    "exports.columns": lambda tenant, filters, *_: exports.columns(tenant, filters, 0, 9),
    "exports.twins": lambda tenant, filters, *_: exports.twins(
        tenant, _bounds(filters).moments, [ID], [filters.user_id or "m"]
    ),
    "people.by_owner": lambda tenant, filters, *_: people.by_owner(tenant, [filters.user_id or "u"]),
    "people.by_name": lambda tenant, filters, *_: people.by_name(tenant, [filters.user_id or "u"], 5),
}
OF_EVERY_TENANT = {
    "erase",
    "present",
    "last",
    "held",
    "held_of",
    "keyed",
    "keyed_at",
    "stored_at",
    "sound_parts",
    "drop",
    "editions",
}  # for the worker, never for a reply


def _catalog_page(filters: Filters) -> CatalogPage:
    name = filters.name
    return CatalogPage(limit=1, name=name, prefix=filters.name_prefix, search=name, after=name)


def _bounds(filters: Filters) -> PageBounds:
    return PageBounds(floor_ms=5, moments=[(filters.name or "n", 6)])


def _step(filters: Filters) -> Step:
    return [*filters.conditions, Condition(Field("column", ("name",)), "=", [filters.name or "n"])]


def _field(dimension: Dimension) -> Dimension:
    return Dimension("property", dimension.key)


def _builders_in(module: ModuleType) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if isinstance(value, FunctionType) and inspect.signature(value).return_annotation is Query and name[0] != "_"
    }


def test_every_builder_is_looked_at() -> None:
    plain = (analysis, catalog, conditions, counts, events, funnels, merged, metrics, upkeep)
    found = {name for module in plain for name in _builders_in(module)}
    found |= {
        f"{name}.{each}" for name, module in (("exports", exports), ("people", people)) for each in _builders_in(module)
    }
    assert found == set(BUILDERS) | OF_EVERY_TENANT | {"prune", "marked"}


def test_whose_events_an_old_erasure_is_about_is_asked_of_one_project_and_mode() -> None:
    query = upkeep.marked(Tenant("acme", "test"), "s", ["m"], 16)
    assert "FROM events WHERE project = {project:String} AND mode = {mode:String}" in query.sql
    assert (query.params["project"], query.params["mode"]) == ("acme", "test")


def test_what_is_pruned_is_bound_to_a_project_and_a_mode() -> None:
    query = upkeep.prune(Tenant("acme", "test"), 5, 9)
    assert "events DELETE WHERE project = {project:String} AND mode = {mode:String} AND (" in query.sql
    assert (query.params["project"], query.params["mode"]) == ("acme", "test")


def test_what_is_erased_or_pruned_is_gone_when_the_engine_says_so() -> None:
    """To look whether events are still there shows only how fast the engine was."""
    for sql in (
        upkeep.ERASE,
        upkeep.erase(Place("c", "d"), [1], [2]).sql,
        upkeep.prune(Tenant("acme", "test"), 5, 9).sql,
        upkeep.prune(Tenant("acme", "test"), 5, 9, Place("c", "d")).sql,
    ):
        assert sql.endswith(" SETTINGS mutations_sync = 2")


@pytest.mark.parametrize("builder", BUILDERS)
def test_every_question_is_bound_to_a_project_and_a_mode(builder: str) -> None:
    query = BUILDERS[builder](Tenant("acme", "test"), Filters(), Dimension("name"), "1h", Page(limit=1))
    bound = query.sql.count("FROM events WHERE project = {project:String} AND mode = {mode:String}")
    assert bound == query.sql.count("FROM events") >= 1, "and reads the events in no other place"
    assert (query.params["project"], query.params["mode"]) == ("acme", "test")


# Long enough not to be part of the SQL by chance, and hostile.
_hostile = st.builds(
    lambda text, attack: f"{attack}{text}☃",
    st.text(st.characters(codec="utf-8"), min_size=4),
    st.sampled_from(["", "'", "' OR 1=1 --", "{project:String}", "\\'", "}", "%s", "`; DROP TABLE events", "\0"]),
)
_pairs = st.lists(st.tuples(_hostile, _hostile | st.sampled_from(["1.5e3", "12.75", ""])), max_size=3)
_numbers = st.integers(10**12, 10**13)
_fields = st.builds(Field, st.sampled_from(("tag", "property")), st.tuples(_hostile)) | st.builds(
    Field, st.just("property"), st.tuples(_hostile, _hostile)
)
_conditions = st.builds(
    Condition, _fields, st.sampled_from(("=", "!=", "in", "contains")), st.lists(_hostile, min_size=1, max_size=2)
) | st.builds(Condition, st.just(Field("person")), st.just("in"), st.lists(_hostile, min_size=1, max_size=2))
_filters = st.builds(
    Filters,
    **{
        field: st.none() | _hostile
        for field in Filters.__struct_fields__
        if field not in ("from_ms", "to_ms", "tags", "properties", "ids", "upto", "conditions")
    },
    upto=_numbers,
    ids=st.none() | st.just([ID]),
    from_ms=_numbers,
    to_ms=_numbers,
    tags=_pairs,
    properties=_pairs,
    conditions=st.lists(_conditions, max_size=3),
)
_dimensions = st.builds(Dimension, st.sampled_from(("tag", "property", "name", "user_id")), _hostile)
_pages = st.builds(
    Page,
    limit=_numbers,
    offset=_numbers,
    after=st.none() | st.builds(Cursor, _numbers, _numbers),
    oldest_first=st.booleans(),
)
OURS = {
    "+",
    "Int64",
    "UInt64",
    "Double",
    "",
    "-",
    "UTC",
    "Null",
    "String",
    "true",
    "false",
    "null",
    "[0-9]{309}",
    *("evt_", "0"),
    *("cloudevents", "mixpanel", "distinct_id", "time"),
    "\\\\",
    *'"sibtfn[{',
}
_PLACEHOLDER = re.compile(r"\{(\w+):[^{}]+\}")


@given(
    tenant=st.builds(Tenant, _hostile, st.just("live")),
    filters=_filters,
    dimension=_dimensions,
    interval=st.sampled_from(INTERVALS),
    page=_pages,
)
def test_no_value_is_ever_part_of_the_sql(
    tenant: Tenant, filters: Filters, dimension: Dimension, interval: Interval, page: Page
) -> None:
    for name, builder in BUILDERS.items():
        query = builder(tenant, filters, dimension, interval, page)
        assert query.sql.isascii(), name
        values = [tenant.project, dimension.key, ID]
        for field in filters.__struct_fields__:
            value = getattr(filters, field)
            if field == "conditions":
                values += [text for each in value for text in (*each.field.path, *each.values)]
            elif isinstance(value, list):
                values += [text for pair in value for text in pair if field != "ids"]
            else:
                values.append(str(value))
        values += [
            str(page.limit),
            str(page.offset),
            *(map(str, (page.after.timestamp_ms, page.after.position)) if page.after else ()),
        ]
        for value in values:
            assert value in ("", "None") or value not in query.sql, (name, value)
        # What is left without the placeholders has no quotes but those around words of ours.
        text = _PLACEHOLDER.sub("", query.sql)
        assert set(re.findall(r"'([^']*)'", text)) <= OURS, name
        assert set(_PLACEHOLDER.findall(query.sql)) <= set(query.params), f"{name} lacks a value"


def _kind(text: str) -> str:
    """A text of the same kind: empty, a number with other spellings, what JSON that is no string may read like, or other."""
    if text in ("1.5e3", "12.75", ""):
        return text
    return "[" if text[0] in "-0123456789[{" or text in ("true", "false") else "v"


@given(filters=_filters)
def test_the_shape_of_the_sql_depends_on_which_filters_are_given_and_not_on_their_values(filters: Filters) -> None:
    """Except for the kinds of text that `_kind` tells apart."""
    tenant = Tenant("p", "live")

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [(f"k{index}", _kind(each[1])) for index, each in enumerate(value)]
        return value and (1 if isinstance(value, int) else "v")

    same = Filters(
        **{
            field: plain(getattr(filters, field))
            for field in filters.__struct_fields__
            if field not in ("ids", "conditions")
        }
    )
    same = msgspec.structs.replace(same, ids=filters.ids and [ID, ID], conditions=filters.conditions)
    assert counts.total(tenant, filters).sql == counts.total(tenant, same).sql


@pytest.mark.parametrize("interval", INTERVALS)
def test_a_series_reads_one_bucket_more_than_it_may_show_and_of_weeks_and_months_every_day(interval: Interval) -> None:
    sql = counts.series(Tenant("p", "live"), Filters(), interval, BERLIN).sql
    limit = int(sql.rpartition(" LIMIT ")[2])
    if interval in ("1w", "1M"):
        assert limit > LATEST_MS // DAY_MS + 1
    else:
        assert limit == MAX_BUCKETS + 1


def test_an_event_is_found_by_its_position_and_told_by_its_id() -> None:
    query = events.get(Tenant("p", "live"), [ID])
    assert "(position, tail) IN arrayZip({positions:Array(UInt64)}, {tails:Array(UInt64)})" in query.sql
    assert (query.params["positions"], query.params["tails"]) == ([position_of(ID)], [tail_of(ID)])


def test_a_column_that_is_not_for_observing_is_refused() -> None:
    for column in ("user_id", "name; DROP TABLE events", "*"):
        with pytest.raises(ValueError, match=re.escape(column)):
            catalog.observed(Tenant("p", "live"), column, 9, "")
