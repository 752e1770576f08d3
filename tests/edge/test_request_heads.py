"""Heads that are refused before a route is looked for, and offers to upgrade that are ignored."""

from http import HTTPStatus

import pytest

from headrace.http.request_heads import fault_of, without_upgrade
from headrace.model.errors import InvalidRequest

HOST = (b"host", b"h")


@pytest.mark.parametrize(
    ("version", "headers", "said", "status"),
    [
        ("1.1", [HOST], "", None),
        ("1.0", [HOST], "", None),
        ("1.0", [], "", None),
        ("1.1", [], "no Host", None),
        ("1.1", [HOST, HOST], "2 Host", None),
        ("1.0", [HOST, HOST, HOST], "3 Host", None),
        ("1.1", [HOST, (b"transfer-encoding", b"chunked")], "", None),
        ("1.1", [HOST, (b"transfer-encoding", b" Chunked ")], "", None),
        (
            "1.1",
            [HOST, (b"transfer-encoding", b"gzip, chunked")],
            "Transfer-Encoding is chunked",
            HTTPStatus.NOT_IMPLEMENTED,
        ),
        (
            "1.1",
            [HOST, (b"transfer-encoding", b"gzip"), (b"transfer-encoding", b"chunked")],
            "Transfer-Encoding is chunked",
            HTTPStatus.NOT_IMPLEMENTED,
        ),
        ("1.1", [HOST, (b"transfer-encoding", b"gzip")], "", None),  # the parser refuses it
        ("1.1", [(b"transfer-encoding", b"x, chunked")], "Transfer-Encoding is chunked", HTTPStatus.NOT_IMPLEMENTED),
    ],
)
def test_a_head_has_one_host_and_no_coding_but_chunked(
    version: str, headers: list[tuple[bytes, bytes]], said: str, status: HTTPStatus | None
) -> None:
    fault = fault_of(version, headers)
    if not said:
        assert fault is None
        return
    assert fault is not None
    assert isinstance(fault[0], InvalidRequest)
    assert said in fault[0].message
    assert fault[1] == status


def test_a_head_keeps_everything_but_its_offer_to_upgrade() -> None:
    headers = [HOST, (b"upgrade", b"h2c"), (b"connection", b"Upgrade"), (b"x-upgrade", b"1"), (b"upgrade", b"x")]
    assert without_upgrade(b"POST", b"/x?y=1", "1.1", headers) == (
        b"POST /x?y=1 HTTP/1.1\r\nhost: h\r\nconnection: Upgrade\r\nx-upgrade: 1\r\n\r\n"
    )
