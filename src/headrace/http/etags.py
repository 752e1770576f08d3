"""Entity tags: a client that has an answer already gets 304 in place of it. Never decides what the answer is.

A tag is a hash of the answer itself, so it cannot tell of anything else. Source: https://www.rfc-editor.org/rfc/rfc9110#section-8.8.3
"""

from hashlib import blake2b

import falcon
import falcon.asgi

from headrace.model.stale_reads import stale_read


def with_tag(body: bytes, /) -> tuple[bytes, str]:
    """For a reader's thread, since hashing takes a millisecond for each megabyte."""
    return body, f'"{blake2b(body, digest_size=16).hexdigest()}"'


def send_tagged(req: falcon.asgi.Request, resp: falcon.asgi.Response, body: bytes, tag: str, /) -> None:
    """Answer with the body, or with 304 if the request names its tag. Either may be kept, but has to be asked for each time.

    A stale answer has no tag: whoever kept it would later be told by a 304 that it is the answer.
    """
    if (read := stale_read()) is not None and read.is_stale:
        resp.data = body
        return
    resp.set_headers({"ETag": tag, "Cache-Control": "private, no-cache"})
    if _is_named(tag, req.get_header("If-None-Match") or ""):
        resp.status = falcon.HTTP_304
    else:
        resp.data = body


def _is_named(tag: str, named: str) -> bool:
    """Compared weakly, as RFC 9110 §13.1.2 says: proxies that compress make tags weak."""
    return named.strip() == "*" or any(each.strip().removeprefix("W/") == tag for each in named.split(","))
