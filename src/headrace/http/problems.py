"""Errors as HTTP: the status of each, and the dialect that words it. The only place where an error meets a status code."""

from http import HTTPStatus
from typing import cast

import falcon
import falcon.asgi
import structlog

from headrace.dialects import amplitude, bricqs, cloudevents, flux, hogsend, mixpanel, native, posthog, segment, solute
from headrace.dialects.wire import Dialect
from headrace.model import errors
from headrace.model.errors import HeadraceError

_log = structlog.get_logger("headrace.http")

# Most specific first.
_STATUS: tuple[tuple[type[HeadraceError], HTTPStatus], ...] = (
    (errors.InvalidRequest, HTTPStatus.BAD_REQUEST),
    (errors.Unauthorized, HTTPStatus.UNAUTHORIZED),
    (errors.Forbidden, HTTPStatus.FORBIDDEN),
    (errors.NotFound, HTTPStatus.NOT_FOUND),
    (errors.MethodNotAllowed, HTTPStatus.METHOD_NOT_ALLOWED),
    (errors.PayloadTooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (errors.RateLimited, HTTPStatus.TOO_MANY_REQUESTS),
)

_SDKS = tuple((each.PATHS, each.DIALECT) for each in (segment, posthog, amplitude, mixpanel, cloudevents))
# Longest first: a path belongs to the first prefix that it starts with, on a segment's edge.
_PREFIXES = (
    *((path, native.DIALECT) for path in native.PATHS),
    ("/api/v1/ingest", bricqs.DIALECT),
    ("/ingest", bricqs.DIALECT),
    ("/api/v1", flux.DIALECT),
    ("/api", solute.DIALECT),
    *((path, dialect) for paths, dialect in _SDKS for path in paths),
    ("/v1", hogsend.DIALECT),
)


def dialect_of(path: str, /) -> Dialect:
    """Whose words an error at this path is put in, whether or not there is a route."""
    if native.OF_AN_EVENT.fullmatch(path.removesuffix("/")):
        return native.DIALECT
    for prefix, dialect in _PREFIXES:
        if path == prefix or path.startswith(f"{prefix}/"):
            return dialect
    return native.DIALECT


def status_of(error: HeadraceError, dialect: Dialect | None = None, /) -> HTTPStatus:
    """posthog-js drops what is answered 4xx, 429 like the others, and tries 5xx again (docs/decisions/0061)."""
    if dialect is posthog.DIALECT and isinstance(error, errors.RateLimited):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return errors.look_up(error, _STATUS, HTTPStatus.SERVICE_UNAVAILABLE)


def reply_to(
    path: str, error: HeadraceError, dialect: Dialect | None = None, /
) -> tuple[HTTPStatus, dict[str, str], bytes]:
    """An error as status, headers and body: in the words of the dialect given, or of the one that the path is for."""
    dialect = dialect or dialect_of(path)
    status = status_of(error, dialect)
    headers = {"content-type": "application/problem+json" if dialect is native.DIALECT else "application/json"}
    if isinstance(error, errors.RateLimited | errors.Unavailable):
        headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, errors.MethodNotAllowed):
        headers["allow"] = ", ".join(error.allowed)
    if isinstance(error, errors.Unauthorized):
        headers["www-authenticate"] = "Bearer"
    return status, headers, dialect.render_error(error, int(status))


def answer(resp: falcon.asgi.Response, path: str, error: HeadraceError, dialect: Dialect | None = None, /) -> None:
    """Make a response of an error."""
    status, headers, resp.data = reply_to(path, error, dialect)
    resp.status = int(status)
    resp.set_headers(headers)


async def handle_ours(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: HeadraceError, _params: dict[str, object]
) -> None:
    # Where two dialects share a path, only the body told which it is.
    answer(resp, req.path, error, getattr(req.context, "dialect", None))


async def handle_falcons(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, object]
) -> None:
    """Falcon's own: no such route, no such method, and a malformed request line or header."""
    if isinstance(error, falcon.HTTPMethodNotAllowed):
        allowed = cast("dict[str, str]", error.headers)["Allow"]
        answer(resp, req.path, errors.MethodNotAllowed(req.method, allowed.split(", ")))
    elif isinstance(error, falcon.HTTPNotFound):
        answer(resp, req.path, errors.NotFound(f"There is no route {req.path[:200]}."))
    else:
        answer(resp, req.path, errors.InvalidRequest(error.description or error.title or ""))


async def handle_bug(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, _error: Exception, _params: dict[str, object]
) -> None:
    """What should not happen. The client may try again: nothing was acknowledged."""
    # Not the path, which may hold a key: /v1/projects/{key}/settings.
    _log.exception("unexpected_error", method=req.method, route=req.uri_template)
    answer(resp, req.path, errors.Unavailable("The server failed unexpectedly; its log says how.", retry_after_s=5))
