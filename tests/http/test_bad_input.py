"""What is not a good event, by every route that takes a body: refused in the dialect's shape, and nothing stored."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.http import zstandard
from tests.http.routes import (
    INGEST,
    MINIMAL,
    REPLAY,
    Ingest,
    assert_refused,
    assert_rejected,
    stored,
)
from tests.server import Client, Server

BODIES = [(each.path, each.dialect) for each in INGEST] + [(REPLAY.path, REPLAY.dialect)]
MAX_REQUEST_BYTES = 10 * 1024 * 1024
MAX_EVENT_BYTES = 256 * 1024


@pytest.fixture(scope="module")
def refuser(server: Server) -> Iterator[Client]:
    """A client on a project in which this whole module must store nothing."""
    with server.client(server.key("refused")) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_stored(refuser: Client) -> Iterator[None]:
    yield
    assert stored(refuser) == 0


def text(event: Any) -> bytes:
    return json.dumps(event).encode()


def with_member(dialect: str, name: str, value: bytes) -> bytes:
    """A good event's text in which one member's value is this text."""
    rest = {key: each for key, each in MINIMAL[dialect].items() if key != name}
    return b"%b%b%s:%b}" % (text(rest)[:-1], b"," if rest else b"", text(name), value)


# What is no JSON document

NO_DOCUMENT = {
    "nothing": b"",
    "blanks": b" \r\n\t ",
    "only a byte order mark": b"\xef\xbb\xbf",
    "an open object": b"{",
    "an open array": b"[",
    "an open string": b'{"name":"n',
    "an unquoted name": b'{name:"n"}',
    "single quotes": b"{'name':'n'}",
    "a trailing comma": b'{"name":"n",}',
    "a comment": b'{"name":"n"} // n',
    "two documents": b'{"name":"n"}{"name":"n"}',
    "form data": b"name=n&user_id=u",
    "XML": b"<event><name>n</name></event>",
    "UTF-16": '{"name":"n"}'.encode("utf-16"),
    "UTF-32": '{"name":"n"}'.encode("utf-32"),
    "one byte": b"\x00",
    "every byte": bytes(range(256)),
    "a million open arrays": b"[" * 1_000_000,
}


@pytest.mark.parametrize("body", NO_DOCUMENT.values(), ids=NO_DOCUMENT.keys())
def test_a_body_that_is_no_json_document_is_refused(refuser: Client, body: bytes) -> None:
    for path, dialect in BODIES:
        assert_refused(refuser.post(path, content=body), dialect, 400)


def nested(levels: int, opening: bytes, closing: bytes) -> bytes:
    return opening * levels + b"1" + closing * levels


DEEP = {
    "arrays 100,000 deep": nested(100_000, b"[", b"]"),
    "objects 100,000 deep": nested(100_000, b'{"a":', b"}"),
    "arrays 5,000,000 deep": nested(5_000_000, b"[", b"]"),
}


@pytest.mark.parametrize("body", DEEP.values(), ids=DEEP.keys())
def test_a_document_nested_too_deeply_is_refused_and_the_server_goes_on(refuser: Client, body: bytes) -> None:
    """Up to Python 3.13 its parser gives up on these; later ones read them, and the limits of depth and size refuse them."""
    for path, dialect in BODIES:
        answer = refuser.post(path, content=body)
        if answer.is_success:
            assert_rejected(answer, dialect, [0])
        else:
            assert answer.status_code in (400, 413)
            assert_refused(answer, dialect, answer.status_code)
    assert refuser.get("/health").status_code == 200


@pytest.mark.parametrize("body", [b"null", b"true", b"7", b'"text"', b"[]", b"{}", b"[[]]", b"[{}"])
def test_a_document_of_the_wrong_type_or_without_anything_in_it_is_refused(refuser: Client, body: bytes) -> None:
    for path, dialect in BODIES:
        if path == "/api/v1/events/batch" and body == b"[[]]":
            assert_rejected(refuser.post(path, content=body), dialect, [0])
        else:
            assert_refused(refuser.post(path, content=body), dialect, 400)


@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_a_truncated_body_is_refused_wherever_it_is_cut(refuser: Client, ingest: Ingest) -> None:
    body = ingest.wrap([text(MINIMAL[ingest.dialect] | {"properties": {"p": ["é", 1.5]}})])
    for end in range(1, len(body), 7):
        assert_refused(refuser.post(ingest.path, content=body[:end]), ingest.dialect, 400)


NO_VALUE = {
    "NaN": b"NaN",
    "Infinity": b"Infinity",
    "-Infinity": b"-Infinity",
    "a leading zero": b"01",
    "a leading plus": b"+1",
    "a bare point": b"1.",
    "a hexadecimal": b"0x10",
    "an unknown escape": rb'"\x41"',
    "a short escape": rb'"\u12"',
    "a control character": b'"a\x01b"',
    "a line break in a string": b'"a\nb"',
    "a byte that is no UTF-8": b'"\xff"',
    "a UTF-8 sequence cut short": b'"\xc3"',
    "an overlong NUL": b'"\xc0\x80"',
    "a surrogate in UTF-8": b'"\xed\xa0\x80"',
    "beyond Unicode": b'"\xf4\x90\x80\x80"',
    "undefined": b"undefined",
}


@pytest.mark.parametrize("value", NO_VALUE.values(), ids=NO_VALUE.keys())
def test_a_value_that_is_no_json_spoils_the_body_wherever_it_stands(refuser: Client, value: bytes) -> None:
    for ingest in INGEST:
        for name in ("properties", "something unknown"):
            for spoilt in (value, b"[%b]" % value, b'{"a":%b}' % value):
                event = with_member(ingest.dialect, name, spoilt)
                body = ingest.wrap([event])
                assert_refused(refuser.post(ingest.path, content=body), ingest.dialect, 400)


CUT = [rb'"\ud800"', rb'"\udc00"', rb'"\udc00\ud800"', rb'{"\ud800":1}', rb'"cut \ud83d"', rb'"\ud83d\ud83d\ude00"']


@pytest.mark.parametrize("value", CUT, ids=repr)
def test_text_cut_inside_an_emoji_is_stored_with_the_replacement_character(client: Client, value: bytes) -> None:
    for ingest in INGEST:
        event = with_member(ingest.dialect, "properties", b'{"a":%b}' % value)
        assert client.post(ingest.path, content=ingest.wrap([event])).is_success, ingest.path
    for row in client.get("/api/v1/events").json()["data"]:
        assert "\ufffd" in json.dumps(row["properties"], ensure_ascii=False)


# What is no good event


def assert_bad_events(refuser: Client, dialect: str, events: list[bytes]) -> None:
    """By every route of the dialect each of these events is refused, one by one or all in one batch."""
    for ingest in INGEST:
        if ingest.dialect != dialect:
            continue
        if ingest.accepts_some:
            response = refuser.post(ingest.path, content=ingest.wrap(events))
            assert_rejected(response, dialect, range(len(events)))
        else:
            for event in events:
                response = refuser.post(ingest.path, content=ingest.wrap([event]))
                assert_refused(response, dialect, 400)


@pytest.mark.parametrize("dialect", MINIMAL)
def test_an_event_that_is_no_object_is_refused(refuser: Client, dialect: str) -> None:
    assert_bad_events(refuser, dialect, [b"null", b"true", b"7", b'"text"', b"[]", b"[{}]", b"1.5"])


NO_STRING = [b"1", b"1.5", b"true", b"false", b"[]", b"{}", b'["n"]']
NO_OBJECT = [b"1", b"1.5", b"true", b"false", b"[[]]", b'"x"', b'"{}"', b"[{}]"]
NO_TIME = [
    *(b"1705314600", b"1705314600000", b"1.5", b"true", b"[]", b"{}"),
    *(b'""', b'" "', b'"now"', b'"2024"', b'"2024-1-15"', b'"2024-13-01"', b'"2024-02-30"'),
    *(b'"2024-01-15T25:00:00Z"', b'"2024-01-15T10:60:00Z"', b'"2024-01-15T10:30:00+99:00"'),
    *(b'"1969-12-31T23:59:59.999Z"', b'"2262-01-01T00:00:00Z"', b'"0000-00-00"', b'"15/01/2024"'),
    *(b'"Mon, 15 Jan 2024 10:30:00 GMT"', b'"+2024-01-15"', b'"2024-01-15T10:30:00ZZ"'),
    *(rb'"2024-01-15T10:30:00Z\u0000"', '"２０２４-01-15"'.encode(), b'"%b"' % (b"9" * 5000)),
]


def long(length: int) -> bytes:
    return b'"%b"' % (b"x" * length)


REQUIRED: dict[tuple[str, str], list[bytes]] = {
    ("flux", "name"): [*NO_STRING, b"null", b'""', b'" \\t\\n"', long(201)],
    ("bricqs", "event_name"): [*NO_STRING, b"null", b'""', b'" "', long(101)],
    ("bricqs", "participant_id"): [*NO_STRING, b"null", b'""', long(256)],
    ("solute", "type"): [*NO_STRING, b"null", b'""', b'"Track"', b'"screen"', b'"track "'],
    ("solute", "timestamp"): [*NO_TIME, b"null"],
    ("solute", "messageId"): [*NO_STRING, b"null", b'""', long(256)],
    ("solute", "context"): [*NO_OBJECT, b"null"],
}
OPTIONAL: dict[tuple[str, str], list[bytes]] = {
    ("flux", "timestamp"): NO_TIME,
    ("flux", "user_id"): [*NO_STRING, b'""', long(256)],
    ("flux", "value"): [b'"1"', b"true", b"[]", b"{}", b"1e309", b"-1e309", b"9" * 400],
    ("flux", "properties"): NO_OBJECT,
    ("flux", "tags"): [
        *(*NO_OBJECT, b'{"a":1}', b'{"a":null}', b'{"a":true}', b'{"a":[]}', b'{"a":{}}'),
        *(b'{"a":%b}' % long(201), b"{%b:1}" % long(201)),
        text({f"k{number}": "" for number in range(65)}),
    ],
    **{
        ("flux", field): [*NO_STRING, long(256)]
        for field in (
            *("session_id", "environment", "service", "host", "request_id"),
            *("idempotency_key", "messageId"),
        )
    },
    ("bricqs", "timestamp"): NO_TIME,
    ("bricqs", "properties"): NO_OBJECT,
    ("bricqs", "idempotency_key"): [*NO_STRING, long(256)],
    **{("solute", field): [*NO_STRING, long(256)] for field in ("userId", "anonymousId")},
    **{("solute", field): [*NO_STRING, long(201)] for field in ("name", "category")},
    ("solute", "properties"): NO_OBJECT,
    ("solute", "traits"): NO_OBJECT,
}
BAD_FIELDS = REQUIRED | OPTIONAL


@pytest.mark.parametrize(("dialect", "field"), BAD_FIELDS, ids=map("-".join, BAD_FIELDS))
def test_a_field_of_the_wrong_type_or_size_is_refused(refuser: Client, dialect: str, field: str) -> None:
    values = BAD_FIELDS[dialect, field]
    assert_bad_events(refuser, dialect, [with_member(dialect, field, value) for value in values])


@pytest.mark.parametrize(("dialect", "field"), REQUIRED, ids=map("-".join, REQUIRED))
def test_a_required_field_that_is_missing_is_refused(refuser: Client, dialect: str, field: str) -> None:
    rest = {name: value for name, value in MINIMAL[dialect].items() if name != field}
    wrong_case = rest | {field.upper(): MINIMAL[dialect][field]}
    assert_bad_events(refuser, dialect, [text(rest), text(wrong_case)])


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        ("track", "event", [*NO_STRING, b"null", b'""', b'" "', long(201)]),
        ("group", "groupId", [*NO_STRING, b"null", b'""', long(256)]),
        ("alias", "previousId", [*NO_STRING, b"null", b'""', long(256)]),
    ],
)
def test_what_one_type_of_solute_event_needs_is_refused_when_it_is_wrong(
    refuser: Client, kind: str, field: str, values: list[bytes]
) -> None:
    event = text(MINIMAL["solute"] | {"type": kind})
    events = [event[:-1] + b',"%b":%b}' % (field.encode(), value) for value in values]
    assert_bad_events(refuser, "solute", [event, *events])


@pytest.mark.parametrize(
    "value",
    [b"1e999", b"-1e999", b"9" * 5000, b"-" + b"9" * 5000, b"[" * 100 + b"]" * 100],
    ids=["1e999", "-1e999", "5000 digits", "-5000 digits", "100 deep"],
)
def test_a_number_that_nothing_can_hold_and_a_deep_object_are_refused(refuser: Client, value: bytes) -> None:
    objects = {"flux": ["properties"], "bricqs": ["properties"]}
    objects["solute"] = ["properties", "traits", "context"]
    for dialect, fields in objects.items():
        members = [with_member(dialect, field, b'{"a":%b}' % value) for field in fields]
        assert_bad_events(refuser, dialect, members)


@pytest.mark.parametrize("field", ["batch", "sentAt"])
def test_a_solute_envelope_that_is_wrong_is_refused_as_a_whole(refuser: Client, field: str) -> None:
    event = text(MINIMAL["solute"])
    good = {"batch": b"[%b]" % event, "sentAt": b'"2025-01-15T10:30:05Z"'}
    wrong = {
        "batch": [*NO_OBJECT[:4], b'"x"', b"{}", b"[]", b"null", b"[%b]" % b",".join([event] * 101)],
        "sentAt": [*NO_TIME, b"null"],
    }
    for value in (None, *wrong[field]):
        members = {name: text for name, text in (good | {field: value}).items() if text is not None}
        lines = [b'"%b":%b' % (name.encode(), each) for name, each in members.items()]
        response = refuser.post("/api/events", content=b"{%b}" % b",".join(lines))
        assert_refused(response, "solute", 400)


@pytest.mark.parametrize(
    ("path", "dialect", "limit"),
    [
        ("/api/v1/events/batch", "flux", 500),
        ("/ingest/events/batch", "bricqs", 100),
        ("/api/v1/ingest/events/batch", "bricqs", 100),
    ],
)
def test_an_envelope_of_events_that_is_wrong_is_refused_as_a_whole(
    refuser: Client, path: str, dialect: str, limit: int
) -> None:
    event = text(MINIMAL[dialect])
    too_many = b"[%b]" % b",".join([event] * (limit + 1))
    for value in (b"null", b"1", b"true", b'"x"', b"{}", event, b"[]", b'"[]"', too_many):
        assert_refused(refuser.post(path, content=b'{"events":%b}' % value), dialect, 400)
    millions = b"[%b1]" % (b"1," * 5_000_000)
    assert_refused(refuser.post(path, content=b'{"events":%b}' % millions), dialect, 400)


BAD_REPLAYS: list[Any] = [
    *({"eventIds": wrong} for wrong in ("x", 1, True, {}, [1], [None], [[]], ["x", {}])),
    *({"filter": wrong} for wrong in ("x", 1, True, [], [{}])),
    *({"filter": {"event": wrong}} for wrong in (1, True, [], {}, ["n"])),
    *({"filter": {"userId": wrong}} for wrong in (1, True, [], {})),
    *({"filter": {"source": wrong}} for wrong in (1, True, [], {})),
    *({"filter": {"from": json.loads(wrong)}} for wrong in NO_TIME if wrong != b'""'),
    *({"filter": {"to": json.loads(wrong)}} for wrong in NO_TIME if wrong != b'""'),
    *({"eventIds": ["x"], "limit": wrong} for wrong in (0, -1, 10_001, 1.0, 2**70, True, "1", [], {})),
    *({"eventIds": ["x"], "force": wrong} for wrong in (1, 0, "true", [], {})),
    *({"eventIds": ["x"], "dryRun": wrong} for wrong in (1, 0, "true", [], {})),
    *({}, {"eventIds": []}, {"filter": {}}, {"filter": {"event": None, "to": ""}}, {"limit": 1}),
    {"eventIds": [f"{number}" for number in range(10_001)]},
]


def test_a_replay_that_is_wrong_is_refused(refuser: Client) -> None:
    for body in BAD_REPLAYS:
        response = refuser.post(REPLAY.path, json=body)
        assert response.status_code == 400, body
        assert_refused(response, "hogsend", 400)


# Sizes


def too_large(dialect: str) -> bytes:
    """A good event of one byte more than an event may have."""
    event = with_member(dialect, "properties", b'{"p":""}')
    return event[:-3] + b"x" * (MAX_EVENT_BYTES + 1 - len(event)) + event[-3:]


@pytest.mark.parametrize("ingest", INGEST, ids=str)
def test_an_event_of_one_byte_too_many_is_refused(refuser: Client, ingest: Ingest) -> None:
    event = too_large(ingest.dialect)
    assert len(event) == MAX_EVENT_BYTES + 1
    response = refuser.post(ingest.path, content=ingest.wrap([event]))
    if ingest.accepts_some:
        assert_rejected(response, ingest.dialect, [0])
    else:
        assert_refused(response, ingest.dialect, 413)


def padded(ingest: Ingest) -> bytes:
    """A good request of one byte more than a request may have."""
    body = ingest.wrap([text(MINIMAL[ingest.dialect])])
    return body + b" " * (MAX_REQUEST_BYTES + 1 - len(body))


@pytest.mark.parametrize("ingest", [*INGEST, Ingest(REPLAY, lambda _: b'{"eventIds":["x"]}', False)], ids=str)
def test_a_body_of_one_byte_too_many_is_refused_however_it_comes(refuser: Client, ingest: Ingest) -> None:
    body = padded(ingest) if ingest.dialect in MINIMAL else b'{"eventIds":["x"]}' + b" " * MAX_REQUEST_BYTES
    pieces = (body[at : at + 65_536] for at in range(0, len(body), 65_536))
    for content, encoding in (
        (body, ""),
        (pieces, ""),  # chunked, without a Content-Length
        (gzip.compress(body, 1), ""),  # known by its first bytes
        (gzip.compress(body, 1), "gzip"),
        (zlib.compress(body, 1), "deflate"),
        (zstandard.compress(body, 1), "zstd"),
        (gzip.compress(body[: 2**20], 1) + gzip.compress(body[2**20 :], 1), "gzip"),
    ):
        headers = {"Content-Encoding": encoding} if encoding else {}
        response = refuser.post(ingest.path, content=content, headers=headers)
        assert_refused(response, ingest.dialect, 413)


@pytest.mark.parametrize(
    ("compress", "encoding"),
    [(gzip.compress, "gzip"), (zlib.compress, "deflate"), (zstandard.compress, "zstd")],
    ids=["gzip", "deflate", "zstd"],
)
def test_a_bomb_is_refused_and_not_inflated_beyond_the_limit(
    server: Server, refuser: Client, compress: Callable[[bytes, int], bytes], encoding: str
) -> None:
    bomb = compress(b" " * 300_000_000, 1)
    before = begin_peak_memory(server.pid)
    for path, dialect in BODIES:
        response = refuser.post(path, content=bomb, headers={"Content-Encoding": encoding})
        assert_refused(response, dialect, 413)
    assert peak_memory_kib(server.pid) - before < 150_000


def begin_peak_memory(pid: int) -> int:
    """Measure the peak from here on. Source: https://man7.org/linux/man-pages/man5/proc_pid_clear_refs.5.html"""
    reset = Path(f"/proc/{pid}/clear_refs")
    if not reset.exists():
        pytest.skip("only Linux tells the peak of a process's memory")
    reset.write_text("5")
    return peak_memory_kib(pid)


def peak_memory_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in lines if line.startswith("VmHWM")]
    return int(line.split()[1])


@pytest.mark.parametrize(
    ("empty", "encoding"),
    [(gzip.compress(b""), "gzip"), (zstandard.compress(b""), "zstd")],
    ids=["gzip", "zstd"],
)
def test_very_many_members_without_content_are_refused(refuser: Client, empty: bytes, encoding: str) -> None:
    body = empty * (MAX_REQUEST_BYTES // len(empty))
    for path, dialect in BODIES:
        response = refuser.post(path, content=body, headers={"Content-Encoding": encoding})
        assert_refused(response, dialect, 400)


# Encodings

GOOD_GZIP = gzip.compress(b'{"name":"n"}')
BROKEN = {
    "gzip cut short": (GOOD_GZIP[:-3], "gzip"),
    "gzip with only its first bytes": (GOOD_GZIP[:2], "gzip"),
    "gzip with a wrong checksum": (GOOD_GZIP[:-8] + b"\0" * 8, "gzip"),
    "gzip with a wrong bit": (GOOD_GZIP[:12] + b"\xff" + GOOD_GZIP[13:], "gzip"),
    "gzip that is JSON": (b'{"name":"n"}', "gzip"),
    "gzip followed by JSON": (GOOD_GZIP + b"{}", "gzip"),
    "gzip by its first bytes, cut short": (GOOD_GZIP[:-3], ""),
    "gzip by its first bytes and no more": (GOOD_GZIP[:2], ""),
    "gzip in gzip": (gzip.compress(GOOD_GZIP), "gzip"),
    "deflate cut short": (zlib.compress(b'{"name":"n"}')[:-1], "deflate"),
    "deflate that is JSON": (b'{"name":"n"}', "deflate"),
    "deflate that is gzip": (GOOD_GZIP, "deflate"),
    "zstd cut short": (zstandard.compress(b'{"name":"n"}')[:-1], "zstd"),
    "zstd that is JSON": (b'{"name":"n"}', "zstd"),
    "br": (b'{"name":"n"}', "br"),
    "compress": (b'{"name":"n"}', "compress"),
    "two encodings": (gzip.compress(GOOD_GZIP), "gzip, gzip"),
    "no known encoding": (b'{"name":"n"}', "x" * 5000),
    "no ASCII": (b'{"name":"n"}', "\xff\xe9"),
}


@pytest.mark.parametrize(("body", "encoding"), BROKEN.values(), ids=BROKEN.keys())
def test_a_body_in_an_unknown_or_a_broken_encoding_is_refused(refuser: Client, body: bytes, encoding: str) -> None:
    headers = {b"Content-Encoding": encoding.encode("latin-1")} if encoding else {}
    for path, dialect in BODIES:
        assert_refused(refuser.post(path, content=body, headers=headers), dialect, 400)
