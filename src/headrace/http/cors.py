"""What lets a browser's page send events here from any origin. Which origins a key allows is the gate's to say.

No cookie ever counts here, so `*` gives nobody anything that their key does not.
Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from http import HTTPStatus

import falcon.asgi

ALLOWED_HEADERS = ("authorization", "content-type", "x-api-key", "idempotency-key")
# A page's script sees no other header of a reply than these; SDKs wait as `Retry-After` says.
_EXPOSED_HEADERS = (
    "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, ratelimit, ratelimit-policy"
)
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,100}", re.ASCII)
_MAX_REQUESTED = 100


def allow_any_origin(resp: falcon.asgi.Response, /) -> None:
    """On the reply itself, also where it is a refusal: the page may read it."""
    resp.set_headers({"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": _EXPOSED_HEADERS})


def answer_preflight(req: falcon.asgi.Request, resp: falcon.asgi.Response, allow: str, /) -> None:
    """`allow`: the methods of the path. SDKs send headers of their own, so whatever is asked for is allowed."""
    asked = (req.get_header("Access-Control-Request-Headers") or "").lower().split(",", _MAX_REQUESTED)
    names = [name for name in map(str.strip, asked[:_MAX_REQUESTED]) if _HEADER_NAME.fullmatch(name)]
    resp.status = int(HTTPStatus.NO_CONTENT)
    resp.set_headers(
        {
            "Allow": allow,
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": allow,
            "Access-Control-Allow-Headers": ", ".join(dict.fromkeys((*ALLOWED_HEADERS, *names))),
            "Access-Control-Max-Age": "86400",
        }
    )
