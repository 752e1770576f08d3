"""Maps errors to HTTP: the status of each, and the dialect that renders it. Status codes of errors occur nowhere else."""

from collections.abc import Callable, Mapping, Sequence
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
from headrace.http.console_paths import is_console
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


Noted = Callable[[falcon.asgi.Request, HeadraceError, int], None]
"""Given a request that is answered with an error, the error, and the status."""


def _note_nothing(_req: falcon.asgi.Request, _error: HeadraceError, _status: int, /) -> None:
    """Note nothing."""


def status_of(error: HeadraceError, dialect: Dialect | None = None, /) -> HTTPStatus:
    """The dialect's own status for the error, or else the usual one."""
    own = errors.look_up(error, dialect.statuses, 0) if dialect else 0
    return HTTPStatus(own) if own else _STATUS[kind_of(error)]


class Problems:
    """Renders errors in the dialect of the request's path. Paths outside all dialects get the native form."""

    def __init__(self, dialects: Sequence[Dialect]) -> None:
        self._owners = Owners(dialects, otherwise=native.DIALECT)
        self._refused: Callable[[HeadraceError], None] = lambda _error: None
        self._noted: Noted = _note_nothing
        self._for_browsers = {route.path for dialect in dialects for route in dialect.routes if route.for_browsers}

    def install(
        self,
        app: "falcon.asgi.App[Any, Any]",
        refused: Callable[[HeadraceError], None],
        noted: Noted = _note_nothing,
    ) -> None:
        """Make the application render all its errors, including Falcon's, this way.

        refused: told of each. noted: given each request that is answered with an error, the error and the status.
        """
        self._refused = refused
        self._noted = noted
        app.add_error_handler(Exception, self._handle_bug)
        app.add_error_handler(falcon.HTTPError, self._handle_falcons)
        app.add_error_handler(HeadraceError, self._handle_ours)

    def dialect_of(self, path: str, /) -> Dialect:
        """The dialect that renders errors at this path, whether or not it is a route."""
        return self._owners.owner_of(path)

    def reply_to(
        self, path: str, error: HeadraceError, dialect: Dialect | None = None, /, *, status: HTTPStatus | None = None
    ) -> tuple[HTTPStatus, dict[str, str], bytes]:
        """An error as status, headers and body, rendered by the given dialect or else by the path's.

        status: set if HTTP prescribes it, overriding the dialect.
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

    async def send(self, send: Any, path: str, error: HeadraceError, more: Mapping[str, str] | None = None, /) -> int:
        """Answer an ASGI request with an error, and more headers; returns the status."""
        status, headers, body = self.reply_to(path, error)
        headers |= {**(more or {}), "content-length": str(len(body))}
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": int(status), "headers": fields})
        await send({"type": "http.response.body", "body": body})
        return int(status)

    def answer(
        self, resp: falcon.asgi.Response, path: str, error: HeadraceError, dialect: Dialect | None = None, /
    ) -> None:
        """Turn an error into the response, and count it."""
        self._refused(error)
        status, headers, resp.data = self.reply_to(path, error, dialect)
        resp.status = int(status)
        resp.set_headers(headers)

    async def _handle_ours(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: HeadraceError, _params: dict[str, object]
    ) -> None:
        # If two dialects share a path, only the body showed which one it is.
        self._answer(req, resp, error, getattr(req.context, "dialect", None))

    def _answer(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        error: HeadraceError,
        dialect: Dialect | None = None,
    ) -> None:
        self.answer(resp, req.path, error, dialect)
        self._noted(req, error, resp.status_code)

    async def _handle_falcons(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, error: falcon.HTTPError, _params: dict[str, object]
    ) -> None:
        """Falcon's own errors: unknown route, unknown method, malformed request line or header."""
        if isinstance(error, falcon.HTTPMethodNotAllowed):
            allowed = cast("dict[str, str]", error.headers)["Allow"]
            if req.uri_template in self._for_browsers:
                cors.allow_any_origin(req, resp)
            self._answer(req, resp, errors.MethodNotAllowed(req.method, allowed.split(", ")))
        elif isinstance(error, falcon.HTTPNotFound):
            if not is_console(req.path):
                cors.allow_any_origin(req, resp)  # a page whose SDK has the wrong address should be able to read that
            self._answer(req, resp, errors.NotFound(f"There is no route {req.path[:200]}."))
        else:
            self._answer(req, resp, errors.InvalidRequest(error.description or error.title or ""))

    async def _handle_bug(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, _error: Exception, _params: dict[str, object]
    ) -> None:
        """An unexpected error. The client may retry: nothing was acknowledged."""
        # Do not log the path, which may contain a key: /v1/projects/{key}/settings.
        _log.exception("unexpected_error", method=req.method, route=req.uri_template)
        self.answer(resp, req.path, errors.Unavailable("Internal server error; see the server log.", retry_after_s=5))
