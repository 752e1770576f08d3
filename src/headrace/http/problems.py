"""Errors as HTTP: the status of each, and the dialect that words it. The only place where an error meets a status code."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, cast

import falcon
import falcon.asgi
import structlog

from headrace.dialects import native
from headrace.dialects.errors import Kind, kind_of
from headrace.dialects.route import Dialect
from headrace.dialects.table import Owners
from headrace.http import cors
from headrace.model import errors
from headrace.model.errors import HeadraceError

_log = structlog.get_logger("headrace.http")

_STATUS: dict[Kind, HTTPStatus] = {
    "invalid_request": HTTPStatus.BAD_REQUEST,
    "unauthorized": HTTPStatus.UNAUTHORIZED,
    "forbidden": HTTPStatus.FORBIDDEN,
    "not_found": HTTPStatus.NOT_FOUND,
    "method_not_allowed": HTTPStatus.METHOD_NOT_ALLOWED,
    "payload_too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "rate_limited": HTTPStatus.TOO_MANY_REQUESTS,
    "unavailable": HTTPStatus.SERVICE_UNAVAILABLE,
}


def status_of(error: HeadraceError, dialect: Dialect | None = None, /) -> HTTPStatus:
    """The dialect's own status for it, or else the usual one."""
    own = errors.look_up(error, dialect.statuses, 0) if dialect else 0
    return HTTPStatus(own) if own else _STATUS[kind_of(error)]


class Problems:
    """Words the errors of a server that speaks these dialects; an address in none of them gets the native one's words."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._owners = Owners(dialects, otherwise=native.DIALECT)
        self._for_browsers = {route.path for dialect in dialects for route in dialect.routes if route.for_browsers}

    def install(self, app: "falcon.asgi.App[Any, Any]") -> None:
        """Have the application word its errors, whichever they are, and Falcon's, so."""
        app.add_error_handler(Exception, self._handle_bug)
        app.add_error_handler(falcon.HTTPError, self._handle_falcons)
        app.add_error_handler(HeadraceError, self._handle_ours)

    def dialect_of(self, path: str, /) -> Dialect:
        """Whose words an error at this path is put in, whether or not there is a route."""
        return self._owners.owner_of(path)

    def reply_to(
        self, path: str, error: HeadraceError, dialect: Dialect | None = None, /, *, status: HTTPStatus | None = None
    ) -> tuple[HTTPStatus, dict[str, str], bytes]:
        """An error as status, headers and body: in the words of the dialect given, or of the one that the path is for.

        status: where it is HTTP that says which, and no dialect.
        """
        dialect = dialect or self.dialect_of(path)
        status = status or status_of(error, dialect)
        headers = {"content-type": dialect.error_type}
        if isinstance(error, errors.RateLimited | errors.Unavailable):
            headers["retry-after"] = str(error.retry_after_s)
        if isinstance(error, errors.MethodNotAllowed):
            headers["allow"] = ", ".join(error.allowed)
        if isinstance(error, errors.Unauthorized):
            headers["www-authenticate"] = "Bearer"
        return status, headers, dialect.render_error(error, int(status))

    def answer(
        self, resp: falcon.asgi.Response, path: str, error: HeadraceError, dialect: Dialect | None = None, /
    ) -> None:
        """Make a response of an error."""
        status, headers, resp.data = self.reply_to(path, error, dialect)
        resp.status = int(status)
        resp.set_headers(headers)

    async def _handle_ours(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: HeadraceError, _params: dict[str, object]
    ) -> None:
        # Where two dialects share a path, only the body told which it is.
        self.answer(resp, req.path, error, getattr(req.context, "dialect", None))

    async def _handle_falcons(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, object]
    ) -> None:
        """Falcon's own: no such route, no such method, and a malformed request line or header."""
        if isinstance(error, falcon.HTTPMethodNotAllowed):
            allowed = cast("dict[str, str]", error.headers)["Allow"]
            if req.uri_template in self._for_browsers:
                cors.allow_any_origin(req, resp)
            self.answer(resp, req.path, errors.MethodNotAllowed(req.method, allowed.split(", ")))
        elif isinstance(error, falcon.HTTPNotFound):
            cors.allow_any_origin(req, resp)  # a page whose SDK has the wrong address should see that it has
            self.answer(resp, req.path, errors.NotFound(f"There is no route {req.path[:200]}."))
        else:
            self.answer(resp, req.path, errors.InvalidRequest(error.description or error.title or ""))

    async def _handle_bug(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, _error: Exception, _params: dict[str, object]
    ) -> None:
        """What should not happen. The client may try again: nothing was acknowledged."""
        # Not the path, which may hold a key: /v1/projects/{key}/settings.
        _log.exception("unexpected_error", method=req.method, route=req.uri_template)
        self.answer(resp, req.path, errors.Unavailable("Internal server error; see the server log.", retry_after_s=5))
