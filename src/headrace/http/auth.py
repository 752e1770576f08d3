"""Translates between HTTP headers and admission: credentials in, rate-limit headers out. Decides nothing, never logs a key."""

from urllib.parse import urlsplit

import falcon.asgi
import msgspec

from headrace.assembly.admission import Shown
from headrace.http.scope import RATE_HEADERS
from headrace.model.allowance import Allowance
from headrace.model.keys import Scope


def shown_by(req: falcon.asgi.Request, scope: Scope, in_body: str = "", /) -> Shown:
    """The credentials that the request shows to a route with this scope; `in_body`: the key in its body or path."""
    return Shown(
        req.method,
        req.get_header("Authorization") or "",
        req.get_header("X-API-Key") or "",
        (req.get_param("api_key") or "") if req.query_string else "",
        in_body,
        req.get_header("Origin") or "",
        (req.get_header("Headrace-Project") or "") if scope != "ingest" else "",
        (req.get_header("Headrace-Mode") or "") if scope != "ingest" else "",
        (req.get_header("Headrace-User") or "") if scope == "admin" else "",
    )


def shown_by_image(req: falcon.asgi.Request, /) -> Shown:
    """Like `shown_by`, for a GET that sends an event, such as a tracking pixel.

    Other GETs without an Origin are exempt from the check of origins, because what they can read is not secret. One that stores
    an event must not be. Browsers send no Origin for image and script elements, but they send a Referer.
    Source: https://www.w3.org/TR/referrer-policy/#default-referrer-policy
    """
    shown = shown_by(req, "ingest")
    return msgspec.structs.replace(
        shown, method="POST", origin=shown.origin or _origin_of(req.get_header("Referer") or "")
    )


def _origin_of(url: str) -> str:
    """The origin of a URL, or ""."""
    try:
        scheme, host, *_ = urlsplit(url)
    except ValueError:
        return "null"
    return f"{scheme}://{host}" if url else ""


def tell_allowance(req: falcon.asgi.Request, resp: falcon.asgi.Response, allowance: Allowance, /) -> None:
    """Add the rate-limit headers to a response.

    Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
    """
    kind, limit, remaining = allowance.kind, allowance.limit, allowance.remaining
    headers = {
        "X-RateLimit-Limit": str(limit),
        "X-RateLimit-Remaining": str(remaining),
        "X-RateLimit-Reset": str(allowance.reset_at_s),
        "RateLimit-Policy": f'"{kind}";q={limit};w={allowance.window_s}',
        "RateLimit": f'"{kind}";r={remaining};t={allowance.reset_s}',
    }
    resp.set_headers(headers)
    req.scope[RATE_HEADERS] = headers  # for a response that does not come from a route
