"""Sends a whole reply in one step. uvicorn checks each header by regular expressions, which takes longer than accepting an event.

See docs/decisions/0147-whole-replies.md.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

Fields = list[tuple[bytes, bytes]]


def lines_of(fields: Fields, /) -> bytes:
    """The header lines of a reply. Raises ValueError if a name or value would end its line."""
    lines = b"".join(b"%b: %b\r\n" % field for field in fields)
    if lines.count(b"\n") != len(fields) or lines.count(b"\r") != len(fields):
        raise ValueError("A header contains a line break.")
    return lines


def send_whole(cycle: Any, status: int, lines: bytes, body: bytes, /) -> bool:
    """Do all that uvicorn's `cycle.send` does for the start and the body of a reply to a POST.

    lines: the header lines beside Content-Length and those that every reply has. Returns False, having sent nothing, if it is
    for `cycle.send` to wait for the client, to notice that it is gone, or to write a line to the access log.
    """
    if cycle.flow.write_paused or cycle.disconnected or cycle.response_started or cycle.access_log:
        return False
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    usual = b"".join(b"%b: %b\r\n" % field for field in cycle.default_headers)
    close = b"" if cycle.keep_alive else b"connection: close\r\n"
    cycle.transport.write(
        b"%b%b%bcontent-length: %d\r\n%b\r\n%b" % (STATUS_LINE[status], usual, lines, len(body), close, body)
    )
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True
