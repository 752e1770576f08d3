"""CORS headers that let pages of any origin send events. Admission decides which origins a key allows.

Some SDKs send with credentials (mixpanel-browser always does), and browsers then hide a response that allows `*`. So the response
names the page's origin. These routes ignore cookies, so a page gains nothing that its key does not give.
Source: https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re
from http import HTTPStatus

import falcon.asgi

ALLOWED_HEADERS = ("authorization", "content-type", "x-api-key", "idempotency-key")
# Scripts see only these headers of a response. SDKs need `Retry-After`.
_EXPOSED_HEADERS = (
    "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset, ratelimit, ratelimit-policy"
)
_HEADER_NAME = re.compile(r"[a-z0-9-]{1,100}", re.ASCII)
_ORIGIN = re.compile(r"[!-~]{1,300}", re.ASCII)
_MAX_REQUESTED = 100


# The same for clients that are not pages, ready to be sent.
WITHOUT_ORIGIN = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", _EXPOSED_HEADERS.encode()),
    (b"vary", b"Origin"),
)


def is_from_page(req: falcon.asgi.Request, /) -> bool:
    """Whether the request has an Origin, as a page's requests do."""
    return bool(req.get_header("Origin"))


def allow_any_origin(req: falcon.asgi.Request, resp: falcon.asgi.Response, /) -> None:
    """Let any page read this reply, even if it is a refusal."""
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
    """Answer a preflight request. allow: the path's methods. SDKs send custom headers, so all requested headers are allowed."""
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
