"""Metric points' values, how the catalogue is asked and whose its examples are, and keys that may be as large as a body."""

import json
import math

import msgspec
import pytest

from headrace.dialects import flux_metrics, native
from headrace.dialects.sdk import short_text
from headrace.model.batch import Batch
from headrace.model.event import StoredEvent
from headrace.model.filters import Catalog, CatalogEntry, CatalogPage
from tests.dialects.given import NOW_MS, context


def batch(*points: dict[str, object]) -> Batch:
    return flux_metrics.parse_metrics(json.dumps({"metrics": points}).encode(), context())


def test_a_counter_without_a_value_counts_one_and_one_with_a_value_that_much() -> None:
    points = [{"name": "n", "type": "counter"} | more for more in ({}, {"value": None}, {"value": 0}, {"value": 2.5})]
    assert [item.event.value for item in batch(*points).items] == [1.0, 1.0, 0.0, 2.5]


@pytest.mark.parametrize("kind", ["gauge", "distribution"])
def test_other_metrics_need_a_value(kind: str) -> None:
    found = batch({"name": "n", "type": kind}, {"name": "n", "type": kind, "value": -0.5})
    assert [item.event.value for item in found.items] == [-0.5]
    assert [rejection.index for rejection in found.rejections] == [0]


@pytest.mark.parametrize(
    ("pairs", "name", "prefix"),
    [
        ([], None, None),
        ([("name", "a.b")], "a.b", None),
        ([("name", "a.*")], None, "a."),
        ([("name", "a*b")], "a*b", None),
        ([("name", "*")], None, None),
        ([("name", "")], None, None),
    ],
)
def test_the_catalogue_is_asked_for_a_name_or_for_a_beginning(
    pairs: list[tuple[str, str]], name: str | None, prefix: str | None
) -> None:
    page = native.parse_catalog(pairs)
    assert (page.name, page.prefix, page.search, page.after) == (name, prefix, None, None)


@pytest.mark.parametrize(
    ("user_id", "anonymous_id", "shown"), [("u", "a", "u"), ("u", "", "u"), ("", "a", "a"), ("", "", None)]
)
def test_an_example_shows_its_user_or_else_its_anonymous_id(user_id: str, anonymous_id: str, shown: str | None) -> None:
    event = StoredEvent(
        *("p", "live", "segment", "n", NOW_MS), user_id=user_id, anonymous_id=anonymous_id, id="0" * 32, position=1
    )
    assert json.loads(native.render_event_data(event))["user_id"] == shown
    entry = CatalogEntry("n", 1, NOW_MS, NOW_MS, [], False, event)
    reply = json.loads(native.render_catalog(CatalogPage(limit=1), Catalog(1, [entry], False), lambda _name: []))
    assert reply["data"][0]["example"]["user_id"] == shown


def test_a_key_may_have_2048_bytes_of_json_and_what_is_longer_is_not_even_read() -> None:
    assert short_text(msgspec.Raw(json.dumps("k" * 2046).encode())) == "k" * 2046
    assert short_text(msgspec.Raw(json.dumps("k" * 2047).encode())) == ""
    assert [short_text(msgspec.Raw(each)) for each in (b"", b"7", b"null", b'["k"]', b'""')] == [""] * 5


def test_a_value_is_a_double() -> None:
    [item] = batch({"name": "n", "type": "gauge", "value": 10**300}).items
    assert item.event.value == 1e300
    assert not math.isinf(item.event.value or 0)
