"""Flux reads an item that is right in one go, and any other field by field: both have to mean the same."""

import json
from typing import Any

import msgspec
from hypothesis import example, given
from hypothesis import strategies as st

from headrace.dialects import flux
from headrace.model.errors import HeadraceError
from tests.dialects.given import context
from tests.dialects.strategies import examples

_texts = st.one_of(st.sampled_from(["", " ", "a", "é" * 200, "😀" * 201, "x" * 255, "x" * 256]), st.text(max_size=5))
_odd = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(allow_nan=False, allow_infinity=False)
)
_tags = st.dictionaries(_texts, st.one_of(_texts, _odd), max_size=3)
_items = st.fixed_dictionaries(
    {"name": st.one_of(st.just("n"), _texts, _odd)},
    optional={
        "timestamp": st.one_of(st.just("2024-01-15T10:30:00Z"), _texts, _odd),
        "user_id": st.one_of(_texts, _odd),
        "value": st.one_of(_odd, _texts),
        "properties": st.one_of(_odd, st.dictionaries(_texts, st.one_of(_texts, _odd), max_size=3)),
        "tags": st.one_of(_tags, _odd),
        "session_id": st.one_of(_texts, _odd),
        "environment": st.one_of(_texts, _odd),
        "request_id": st.one_of(_texts, _odd),
        "idempotency_key": st.one_of(_texts, _odd),
        "messageId": st.one_of(_texts, _odd),
        "further": _odd,
    },
)


def _outcome(read: Any, text: bytes) -> object:
    try:
        return read(text, context())
    except HeadraceError as error:
        return type(error), error.message


@examples(300)
@given(_items)
@example({"name": "n", "tags": {f"t{number}": "v" for number in range(65)}})
@example({"name": "n", "value": 2**70})
def test_reading_in_one_go_and_field_by_field_agree(item: dict[str, Any]) -> None:
    text = json.dumps(item).encode()
    quick = _outcome(lambda text, context: flux._parser(context)(msgspec.Raw(text), context), text)
    assert quick == _outcome(flux._parse_item_slowly, text)
