"""Rules about a request's head beyond those of the parser. Pure.

Sources: https://www.rfc-editor.org/rfc/rfc9112#section-3.2, #section-6.1 and https://www.rfc-editor.org/rfc/rfc9110#section-7.8
"""

from collections.abc import Sequence
from http import HTTPStatus

from headrace.model.errors import HeadraceError, InvalidRequest

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case


def fault_of(version: str, headers: Headers, /) -> tuple[HeadraceError, HTTPStatus | None] | None:
    """Why the head must be refused, and the status if HTTP prescribes it: not one Host, or an unsupported transfer coding."""
    hosts, codings = 0, b""
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"transfer-encoding":
            codings += b"," + value.strip().lower()
    if codings not in (b"", b",chunked") and codings.endswith(b"chunked"):  # the parser refuses the others
        error = InvalidRequest(
            "The only supported Transfer-Encoding is chunked; put other codings in Content-Encoding."
        )
        return error, HTTPStatus.NOT_IMPLEMENTED
    if hosts > 1 or (not hosts and version == "1.1"):
        return InvalidRequest(f"The request has {hosts or 'no'} Host headers; send one."), None
    return None


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers, /) -> bytes:
    """The head without its offer to upgrade, which a server may ignore.

    Java's HttpClient and `curl --http2` offer h2c; the parser would take the body for that protocol's first bytes.
    """
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    lines += [b"%b: %b\r\n" % (name, value) for name, value in headers if name != b"upgrade"]
    return b"".join((*lines, b"\r\n"))
