"""One event of a batch is spoilt: the others are parsed all the same, and in their order."""

from collections.abc import Callable

import pytest

from headrace.dialects import (
    amplitude,
    bricqs,
    cloudevents,
    flux,
    flux_metrics,
    mixpanel,
    mixpanel_profiles,
    native_lines,
    posthog,
    posthog_keys,
    segment,
    solute,
    spoilt,
)
from headrace.model.batch import Batch, Context
from headrace.model.errors import EventsRejected, InvalidRequest
from tests.dialects.given import context
from tests.dialects.spoilings import BATCHES, COUNT, WHOLE_OR_NOTHING, all_of, spelled

PARSERS: dict[str, Callable[[bytes, Context], Batch]] = {
    "flux": flux.parse_batch,
    "flux bare": flux.parse_batch,
    "flux gem events": flux_metrics.parse_gem,
    "flux gem metrics": flux_metrics.parse_gem,
    "flux metrics": flux_metrics.parse_metrics,
    "flux lines": flux.parse_lines,
    "native lines": native_lines.parse_lines,
    "native array": native_lines.parse_lines,
    "bricqs": bricqs.parse_batch,
    "solute": solute.parse_batch,
    "segment": segment.parse_batch,
    "segment beacon": segment.parse_batch,
    "jitsu": segment.parse_batch,
    "posthog": posthog.parse,
    "posthog array": posthog.parse,
    "amplitude": amplitude.parse,
    "mixpanel track": mixpanel.parse_track,
    "mixpanel import": mixpanel.parse_import,
    "mixpanel lines": mixpanel.parse_import,
    "mixpanel engage": mixpanel_profiles.parse_engage,
    "mixpanel groups": mixpanel_profiles.parse_groups,
    "cloudevents": cloudevents.parse,
}
FINDERS: dict[str, Callable[[bytes], str]] = {
    "segment": segment.find_key,
    "posthog": posthog_keys.find_key,
    "posthog array": posthog_keys.find_key,
    "amplitude": amplitude.find_key,
    "mixpanel track": mixpanel.find_key,
    "mixpanel lines": mixpanel.find_key,
}


def _places(batch: Batch) -> list[int]:
    return [item.index for item in batch.items]


@pytest.mark.parametrize("route", BATCHES)
def test_a_spoilt_event_costs_no_other(route: str) -> None:
    for name, case in all_of(BATCHES[route]):
        expected = [place for place in range(COUNT) if case.stored or place != case.place]
        if route in WHOLE_OR_NOTHING and not case.stored:
            with pytest.raises(EventsRejected) as refused:
                PARSERS[route](case.body, context())
            assert [place for place, _ in refused.value.events] == [case.place], name
            continue
        batch = PARSERS[route](case.body, context())
        assert _places(batch) == expected, name
        assert [each.index for each in batch.rejections] == ([] if case.stored else [case.place]), name


@pytest.mark.parametrize("route", FINDERS)
def test_a_spoilt_event_does_not_hide_the_key(route: str) -> None:
    batches = BATCHES[route]
    for name, case in all_of(batches):
        around = batches.around
        keyed = {"segment": b'{"writeKey":"k",', "posthog": b'{"api_key":"k",', "amplitude": b'{"api_key":"k",'}
        body = case.body.replace(around[0], keyed[route] + around[0][1:], 1) if route in keyed else case.body
        if route == "posthog array":
            body = body.replace(b'"distinct_id"', b'"api_key":"k","distinct_id"')
        assert FINDERS[route](body) == "k", name


def test_amplitudes_claim_on_a_shared_path_survives_a_spoilt_event() -> None:
    for name, case in all_of(BATCHES["amplitude"]):
        assert amplitude.claims(case.body), name


@pytest.mark.parametrize("route", BATCHES)
def test_several_spoilt_events_are_each_their_own_error(route: str) -> None:
    batches = BATCHES[route]
    events = [spelled(batches.event(number)) for number in range(COUNT)]
    for place in (1, 3):
        events[place] = events[place][:-1] + b',"zz":NaN}'
    if route in WHOLE_OR_NOTHING:
        with pytest.raises(EventsRejected) as refused:
            PARSERS[route](batches.body(events), context())
        assert [place for place, _ in refused.value.events] == [1, 3]
        return
    assert _places(PARSERS[route](batches.body(events), context())) == [0, 2, 4]


@pytest.mark.parametrize(
    "body",
    [
        b'{"events":[{"name":"a"},{"name":"b},{"name":"c"}]}',
        b'{"events":[{"name":"a"},{"name":"b"}',
        b'{"events":[{"name":"a"},{"name":"b"',
        b'{"events":[{"name":"a","tags":{"t":"x"},{"name":"b"}]}',
        b'{"events":[{"name":"a"},,{"name":"b"}]}',
        b'{"events":[{"name":"a"},]}',
        b'{"events":[{"name":"a"}],"x":NaN}',
        b'{"events":[{"name":"a"}],}',
        b'{"events":[{"name":"a"}]} {}',
        b'{"events":[{"name":"a"}]',
        b'{"events" [{"name":"a"}]}',
        b'{events:[{"name":"a"},{"name":NaN}]}',
        b'[{"name":"a"},{"name":NaN}] []',
        b'[{"name":"a"},{"name":"b"]',
        b'[{"name":"a"],{"name":"b"}]',
        b'{"events":[{"name":"a"}],"events\xff":[]}',
        b'{"events":[{"name":NaN}]}',
        b'[{"name":NaN},{"name":01}]',
    ],
    ids=lambda body: repr(body[-30:]),
)
def test_where_the_events_cannot_be_told_apart_the_batch_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        flux.parse_batch(body, context())


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (rb"cut \ud83d", "cut \ufffd"),
        (rb"\uD83D", "\ufffd"),
        (rb"\ud83d\ud83d\ude00", "\ufffd\U0001f600"),
        (rb"\ude00\ud83d", "\ufffd\ufffd"),
        (rb"\ud83d\ude00\ude00", "\U0001f600\ufffd"),
        (rb"\ud83d\u0041", "\ufffdA"),
        (rb"\ud83dx\ude00", "\ufffdx\ufffd"),
        (rb"\\ud83d \ud83d", "\\ud83d \ufffd"),
        (rb"\\\ud83d", "\\\ufffd"),
        (rb"\\\\ud83d\ud83d", "\\\\ud83d\ufffd"),
        (rb"\\ud83d\ude00", "\\ud83d\ufffd"),
        (rb"\"\ud83d", '"\ufffd'),
        (rb"\uD7FF\uE000\ud83d", "\ud7ff\ue000\ufffd"),
    ],
)
def test_a_lone_surrogate_is_stored_as_the_replacement_character(sent: bytes, stored: str) -> None:
    batch = flux.parse_batch(b'{"events":[{"name":"%b"},{"name":"b"}]}' % sent, context())
    assert [item.event.name for item in batch.items] == [stored, "b"]
    assert flux.parse_track(b'{"name":"%b"}' % sent, context()).items[0].event.name == stored


def test_every_text_of_an_event_may_have_been_cut() -> None:
    cut = rb'"\ud83d"'
    body = b'{"name":%b,"user_id":%b,"session_id":%b,"messageId":%b,"tags":{%b:%b},"properties":{%b:[{%b:%b}]}}' % (
        (cut,) * 9
    )
    event = flux.parse_track(body, context()).items[0].event
    assert (event.name, event.user_id, event.session_id, event.message_id) == ("\ufffd",) * 4
    assert event.tags == {"\ufffd": "\ufffd"}
    assert event.properties == r'{"\ufffd":[{"\ufffd":"\ufffd"}]}'


def test_a_string_that_ends_nowhere_is_looked_at_once() -> None:
    """Quotes and brackets without end: work that grows with the square would not come back."""
    for body in (
        b'["' + b"a" * 1_000_000,
        b"[" * 1_000_000,
        b'["\\' * 1_000_000,
        rb"[\ud83d" * 1_000_000,
        b"[[]," * 1_000_000,
    ):
        assert spoilt.mended(body, "events") is None


def test_a_second_look_has_an_end() -> None:
    """Whoever sends it may be nobody: past so many events or brackets the body is refused as a whole."""
    assert spoilt.mended(b"[%bNaN]" % (b"1," * 4_999), "events") is not None
    assert spoilt.mended(b"[%bNaN]" % (b"1," * 5_000), "events") is None
    assert spoilt.mended(b'{"n":1}\n' * 5_001 + b"{", lines=True) is None
    assert spoilt.mended(b"[%bNaN]" % (b"[[[[[[[[]]]]]]]]," * 1_000), "events") is not None
    assert spoilt.mended(b"[%bNaN]" % (b"[%b]," % (b"[]," * 60 + b"0") * 4_000), "events") is None
