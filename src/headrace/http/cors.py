"""What lets a browser's page send events here from any origin. Which origins a key allows is the gate's to say.

Some SDKs send with credentials (mixpanel-browser always does), and to those a browser shows no reply that says `*`; so a page's
origin is answered by name. No cookie ever counts here, so that gives nobody anything that their key does not.
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
_ORIGIN = re.compile(r"[!-~]{1,300}", re.ASCII)
_MAX_REQUESTED = 100


# The same for a client that is no page, ready to be sent.
WITHOUT_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED_HEADERS.encode()),
    (b"vary", b"Origin"),
)


def is_from_page(req: falcon.asgi.Request, /) -> bool:
    """Whether a browser says which page it asks for."""
    return bool(req.get_header("Origin"))


def allow_any_origin(req: falcon.asgi.Request, resp: falcon.asgi.Response, /) -> None:
    """On the reply itself, also where it is a refusal: the page may read it."""
    _allow(req, resp)
    resp.set_header("Access-Control-Expose-Headers", _EXPOSED_HEADERS)


def _allow(req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
    origin = req.get_header("Origin") or ""
    if _ORIGIN.fullmatch(origin):
        resp.set_headers({"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"})
    else:
        resp.set_header("Access-Control-Allow-Origin", "*")
    resp.append_header("Vary", "Origin")


def answer_preflight(req: falcon.asgi.Request, resp: falcon.asgi.Response, allow: str, /) -> None:
    """`allow`: the methods of the path. SDKs send headers of their own, so whatever is asked for is allowed."""
    asked = (req.get_header("Access-Control-Request-Headers") or "").lower().split(",", _MAX_REQUESTED)
    names = [name for name in map(str.strip, asked[:_MAX_REQUESTED]) if _HEADER_NAME.fullmatch(name)]
    resp.status = int(HTTPStatus.NO_CONTENT)
    _allow(req, resp)
    resp.set_headers(
        {
            "Allow": allow,
            "Access-Control-Allow-Methods": allow,
            "Access-Control-Allow-Headers": ", ".join(dict.fromkeys((*ALLOWED_HEADERS, *names))),
            "Access-Control-Max-Age": "86400",
        }
    )
