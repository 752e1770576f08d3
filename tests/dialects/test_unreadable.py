"""Whatever is stored where JSON should be, a reply is JSON, and shows what it was."""

import json

import pytest

from headrace.dialects import flux_queries, hogsend
from headrace.dialects.wire import raw_object
from headrace.model.event import StoredEvent

SPOILT = ['{"a":1', '{"a":1}}', "no json", '{"a":\x00}', "{'a':1}", "\udcff", '{"a":1}\n{"b":2}']


@pytest.mark.parametrize("text", SPOILT)
def test_what_is_no_json_is_shown_as_text(text: str) -> None:
    assert json.loads(bytes(raw_object(text))) == {"$unreadable": text.encode(errors="replace").decode()}


def test_what_is_json_is_shown_byte_for_byte() -> None:
    for text in ('{"a":1.0, "b":[ 1e3 ]}', "{}", '{"a":"\\ud83d\\ude00"}'):
        assert bytes(raw_object(text)) == text.encode()
    assert bytes(raw_object("")) == b"{}"


@pytest.mark.parametrize("text", SPOILT)
def test_an_event_that_holds_it_is_shown_as_json_in_every_dialect(text: str) -> None:
    spoilt = StoredEvent(
        *("shop", "live", "flux", "sale", 1), properties=text, context=text, traits=text, id="0" * 32, position=1
    )
    good = StoredEvent("shop", "live", "flux", "sale", 1, properties='{"a":1}', id="1" * 32, position=2)
    for answer in (flux_queries.render_get(spoilt), hogsend.render_get(spoilt)):
        assert "$unreadable" in answer.decode()
        json.loads(answer)
    assert json.loads(flux_queries.render_get(good))["data"]["properties"] == {"a": 1}
