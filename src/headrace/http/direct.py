"""Falcon's application with a short cut for POSTs of events: past the router and the middleware, to the same handler.

Errors, metrics and the budget for bodies are the same on both paths. See docs/decisions/0081-past-the-router.md.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import falcon
import falcon.asgi

from headrace.http import cors
from headrace.http.audited import COMMANDS, Auditor
from headrace.http.body import Budget, IdConverter, Request, request_within
from headrace.http.metrics import Metrics
from headrace.http.scope import SEND_WHOLE, BrokenOff
from headrace.http.whole_replies import Fields, lines_of


class App(falcon.asgi.App[Request, falcon.asgi.Response]):
    """posters: by path, the handler of POSTs to it. Each path is also a route, for paths spelled differently.

    auditor: records what is posted to the routes of commands on this machine, as those routes are added.
    Any page may read a poster's response. The CORS headers for clients that are not pages are created only once.
    """

    def __init__(self, metrics: Metrics, bodies: Budget) -> None:
        super().__init__(middleware=[metrics, bodies], request_type=request_within(bodies))
        self.posters: dict[str, Callable[[falcon.asgi.Request, falcon.asgi.Response], Awaitable[None]]] = {}
        self.metrics = metrics
        self.auditor: Auditor | None = None

    def add_route(self, uri_template: str, resource: object, **options: Any) -> None:
        """Like Falcon's, plus HEAD for every GET: monitors and load balancers use it (RFC 9110 §9.3.2)."""
        suffix = f"_{options['suffix']}" if options.get("suffix") else ""
        if get := getattr(resource, f"on_get{suffix}", None):
            setattr(resource, f"on_head{suffix}", get)
        if self.auditor is not None and uri_template.startswith(COMMANDS):
            self.auditor.audit_command(uri_template, resource)
        self.router_options.converters.setdefault("id", IdConverter)
        super().add_route(uri_template, resource, **options)
        if ":id}" in uri_template:
            self._request_type.ids_below += (uri_template.partition("{")[0],)
        if uri_template.endswith(":path}"):
            self._request_type.names_below += (uri_template.partition("{")[0],)

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[Any]],
        send: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Source: https://asgi.readthedocs.io/en/latest/specs/www.html"""
        # It knows the scope: left there, it would keep each request for the garbage collector.
        send_whole = scope.pop(SEND_WHOLE, None)
        path: str = scope["path"]
        poster = self.posters.get(path) if scope["method"] == "POST" else None
        if poster is None:
            with suppress(
                BrokenOff
            ):  # uvicorn then breaks the connection, so that nobody takes half a reply for a whole one
                await super().__call__(scope, receive, send)
            return
        started = time.perf_counter()
        first_event = await receive()
        if first_event["type"] == "http.disconnect":
            return
        req = self._request_type(scope, receive, first_event, self.req_options)
        resp = falcon.asgi.Response(self.resp_options)
        req.uri_template = path
        from_page = cors.is_from_page(req)
        if from_page:
            cors.allow_any_origin(req, resp)
        try:
            await poster(req, resp)
        except Exception as error:
            if not await self._handle_exception(req, resp, error, {}):
                raise
        finally:
            req.give_back()
        status, body = resp.status_code, resp.data or b""
        self.metrics.observe("POST", path, status, started)
        own = resp.headers
        if send_whole and status != HTTPStatus.NO_CONTENT:
            lines = _USUAL_LINES if not own and not from_page else lines_of(_fields({**_JSON, **own}, from_page))
            if send_whole(status, lines, body):
                return
        headers = {**_JSON, **own, "content-length": str(len(body))}
        if status == HTTPStatus.NO_CONTENT:  # has neither: RFC 9110 §8.6
            headers = own
        await send({"type": "http.response.start", "status": status, "headers": _fields(headers, from_page)})
        await send({"type": "http.response.body", "body": body})


def _fields(headers: Mapping[str, str], from_page: bool) -> Fields:
    fields = [] if from_page else [*cors.WITHOUT_ORIGIN]
    fields += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    return fields


_JSON = {"content-type": falcon.MEDIA_JSON}
_USUAL_LINES = lines_of(_fields(_JSON, from_page=False))
