"""Bodies: inflated within a limit, and counted against the common one until their request is answered."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from headrace.http.body import Budget, IdConverter, inflate, read_body, request_within
from headrace.model.errors import InvalidRequest, PayloadTooLarge, Unavailable
from tests.http.zstandard import compress as zstd_compress

TEXT = b'{"name":"n"}' * 50


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("", bytes),
    ("identity", bytes),
    (" Identity ", bytes),
    ("gzip", gzip.compress),
    ("GZIP", gzip.compress),
    ("x-gzip", gzip.compress),
    ("", gzip.compress),  # by its magic bytes
    ("identity", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("zstd", zstd_compress),
]


@pytest.mark.parametrize(("encoding", "compress"), ENCODINGS)
def test_a_body_is_inflated_up_to_its_limit_and_no_further(encoding: str, compress: Callable[[bytes], bytes]) -> None:
    assert inflate(compress(TEXT), encoding, len(TEXT)) == TEXT
    if compress is not bytes:  # read_body has counted the others
        with pytest.raises(PayloadTooLarge, match=f"larger than {len(TEXT) - 1} bytes"):
            inflate(compress(TEXT), encoding, len(TEXT) - 1)


@pytest.mark.parametrize(("encoding", "compress"), [each for each in ENCODINGS if each[1] is not bytes])
def test_every_member_of_a_body_counts_and_a_cut_one_is_refused(
    encoding: str, compress: Callable[[bytes], bytes]
) -> None:
    both = compress(TEXT) + compress(TEXT)
    assert inflate(both, encoding, 2 * len(TEXT)) == TEXT * 2
    with pytest.raises(PayloadTooLarge):
        inflate(both, encoding, 2 * len(TEXT) - 1)
    with pytest.raises(InvalidRequest, match="ends too early"):
        inflate(compress(TEXT)[:-1], encoding, 10**6)
    with pytest.raises(InvalidRequest):
        inflate(compress(TEXT) + b"\x00junk", encoding, 10**6)


def test_a_body_of_a_thousand_members_is_taken_and_one_of_more_is_not() -> None:
    empty = gzip.compress(b"")
    assert inflate(empty * 999 + gzip.compress(b"x"), "gzip", 1) == b"x"
    with pytest.raises(InvalidRequest, match="more than 1000 gzip members"):
        inflate(empty * 1001, "gzip", 1)


def test_a_member_that_ends_anywhere_in_a_piece_is_followed_by_the_next() -> None:
    noise = bytes(range(256)) * 256
    for size in (65_535, 65_536, 65_537, 131_072):
        first = zlib.compress(noise[:size], 0)
        assert inflate(first + zlib.compress(b"x"), "deflate", 10**6) == noise[:size] + b"x"


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "compress", "x" * 500])
def test_an_unknown_encoding_is_named(encoding: str) -> None:
    with pytest.raises(InvalidRequest, match="is not supported") as refused:
        inflate(TEXT, encoding, 10**6)
    assert len(refused.value.message) < 200


def test_what_is_not_in_its_encoding_is_refused() -> None:
    for encoding in ("gzip", "deflate", "zstd"):
        with pytest.raises(InvalidRequest, match="not valid"):
            inflate(b"\xff" * 50, encoding, 10**6)


def request(budget: Budget, *pieces: bytes, hangs_up: bool = False, path: str = "/x", **headers: str) -> Any:
    events = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]
    if hangs_up:
        events.append({"type": "http.disconnect"})
    elif events:
        events[-1]["more_body"] = False
    events = iter(events or [{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Any:
        return next(events)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()],
        "asgi": {"version": "3.0"},
    }
    return request_within(budget)(scope, receive)


def read(req: Any, max_bytes: int) -> bytes:
    return asyncio.run(read_body(req, max_bytes))


def test_a_body_is_read_up_to_its_limit_whatever_its_pieces_and_its_announced_length() -> None:
    budget = Budget(100)
    assert read(request(budget, b"abc", b"", b"de"), 5) == b"abcde"
    assert read(request(budget, b"abcde", content_length="5"), 5) == b"abcde"
    with pytest.raises(PayloadTooLarge, match="larger than 4 bytes"):
        read(request(budget, b"abc", b"de"), 4)
    with pytest.raises(PayloadTooLarge, match="has 6 bytes; the limit is 5"):
        read(request(budget, content_length="6"), 5)
    with pytest.raises(InvalidRequest, match="ended before"):
        read(request(budget, b"abc", hangs_up=True), 5)


def test_a_body_holds_its_size_of_the_budget_and_its_inflated_size_once_it_is_inflated() -> None:
    budget = Budget(len(TEXT))
    body = gzip.compress(TEXT)
    req = request(budget, body[:10], body[10:])
    assert read(req, 10**6) == TEXT
    assert budget.held_bytes == len(TEXT)
    with pytest.raises(Unavailable, match=f"exceed {len(TEXT)} bytes"):
        read(request(budget, b"x"), 10**6)
    req.give_back()
    req.give_back()
    assert budget.held_bytes == 0
    assert read(request(budget, TEXT), 10**6) == TEXT
    with pytest.raises(Unavailable):
        read(request(Budget(len(TEXT) - 1), body), 10**6)


def test_an_id_in_a_path_is_one_segment_whatever_is_in_it() -> None:
    convert = IdConverter().convert
    req_type = request_within(Budget(10))
    req_type.ids_below, req_type.names_below = ("/users/",), ("/names/",)
    for raw, below, expected in (
        ("/users/a%2Fb", "/users/a/b", "/users/a%2Fb"),
        ("/users/a%2Fb/events", "/users/a/b/events", "/users/a%2Fb/events"),
        ("/users/%25", "/users/%", "/users/%25"),
        ("/users/plain/", "/users/plain/", "/users/plain"),
        ("/users/a%2F/", "/users/a//", "/users/a%2F"),
        ("/names/a%2F", "/names/a/", "/names/a/"),
        ("/names/a%2f", "/names/a/", "/names/a/"),
        ("/names/a/", "/names/a/", "/names/a"),
        ("/other/a%2F", "/other/a/", "/other/a"),
    ):
        scope = {
            "type": "http",
            "method": "GET",
            "path": below,
            "raw_path": raw.encode(),
            "query_string": b"",
            "headers": [],
            "asgi": {"version": "3.0"},
        }
        options = OPTIONS
        req = req_type(scope, None, None, options)  # pyright: ignore[reportArgumentType]  nobody reads its body
        assert req.path == expected, raw
    assert [convert(each) for each in ("a%2Fb", "%25", "plain", "%F0%9F%98%80")] == ["a/b", "%", "plain", "\U0001f600"]


def _options() -> Any:
    from falcon import RequestOptions

    options = RequestOptions()
    options.strip_url_path_trailing_slash = True
    return options


OPTIONS = _options()
