"""Mounts the dialects' tables: each path gets exactly what its routes declare."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import falcon.asgi

from headrace.assembly.capabilities.events import EventIntake
from headrace.dialects.route import Ask, Dialect, Handled, Ingest, Route, Tell
from headrace.http import cors, webhooks
from headrace.http.addresses import Addresses
from headrace.http.audited import Auditor
from headrace.http.auth import shown_by
from headrace.http.direct import App
from headrace.http.gate import Gate
from headrace.http.handler import Handler, Handlers
from headrace.http.ingest import EventTaker, Served
from headrace.http.metrics import Metrics
from headrace.http.noted import RefusalNotes
from headrace.http.questions import ask, tell
from headrace.http.stale import may_be_stale, stale_reads_of
from headrace.model.settings import Settings

Responder = Callable[..., Awaitable[None]]
_METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE")


class Mounted:
    """The resource of a path. Falcon looks for its responders as attributes: `on_get` and so on."""

    def __init__(self, responders: Mapping[str, Responder]) -> None:
        vars(self).update(responders)


class Responders:
    """Makes the responder of each route, by the kind of work the route does."""

    def __init__(
        self,
        gate: Gate,
        intake: EventIntake,
        settings: Settings,
        metrics: Metrics,
        handlers: Handlers,
        auditor: Auditor,
        addresses: Addresses,
        notes: RefusalNotes | None = None,
    ) -> None:
        self._notes = notes
        self._gate = gate
        self._intake = intake
        self._settings = settings
        self._addresses = addresses
        self._metrics = metrics
        self._handlers = handlers
        self._auditor = auditor

    def responder(self, served: Served, claimants: Sequence[Served]) -> Responder:
        """Raises KeyError for an unknown handler."""
        responder = self._responder(served, claimants)
        if self._settings.stale_reads == "on" and may_be_stale(served.route):
            return stale_reads_of(responder, self._metrics.count_stale)
        return responder

    def _responder(self, served: Served, claimants: Sequence[Served]) -> Responder:
        route = served.route
        match route.does:
            case Ingest():
                taker = EventTaker(
                    self._gate, self._intake, self._settings, self._metrics, served, claimants, self._notes
                )
                return taker.respond
            case Ask() as does:
                return ask(self._gate, route, does)
            case Tell() as does:
                return tell(self._gate, self._addresses, route, does)
            case Handled(by=name):
                if route.is_audited:
                    return _audited(self._gate, self._auditor, route, name, self._handlers[name])
                return _handled(self._gate, route, self._handlers[name])

    def preflight(self, methods: Sequence[str], granting: Route | None) -> Responder:
        """Answers OPTIONS for browsers and, if a route at the path accepts webhooks, for senders that ask for permission."""
        allow = ", ".join((*methods, "OPTIONS"))
        per_minute = 0
        if granting is not None and self._settings.rate_limits == "on":
            per_minute = self._settings.limits().get(granting.limit, 0)

        async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **_params: Any) -> None:
            cors.answer_preflight(req, resp, allow)
            if granting is not None and req.get_header("WebHook-Request-Origin"):
                webhooks.grant(resp, per_minute)

        return respond


def mount(app: App, dialects: Sequence[Dialect], make: Responders) -> None:
    """Raises KeyError for a route with an unknown handler, and ValueError for two routes that cannot be told apart."""
    paths: dict[str, dict[str, list[Served]]] = {}
    for dialect in dialects:
        for route in dialect.routes:
            paths.setdefault(route.path, {}).setdefault(route.method, []).append(Served(route, dialect))
    for path, methods in paths.items():
        responders: dict[str, Responder] = {}
        for method, served in methods.items():
            first, claimants = _told_apart(served)
            responder = make.responder(first, claimants)
            responders[f"on_{method.lower()}"] = responder
            if isinstance(first.route.does, Ingest):
                responders[f"on_{method.lower()}"] = _readable_by_pages(responder)
                if method == "POST":
                    app.posters[path] = responder
        every = [each for served in methods.values() for each in served]
        if any(each.route.has_preflight for each in every):
            allowed = [*methods, "HEAD"] if "GET" in methods else list(methods)
            granting = next((each.route for each in every if _grants_webhooks(each.route)), None)
            responders["on_options"] = make.preflight([method for method in _METHODS if method in allowed], granting)
        app.add_route(path, Mounted(responders))


def _grants_webhooks(route: Route) -> bool:
    return isinstance(route.does, Ingest) and route.does.grants_webhooks


def _told_apart(served: Sequence[Served]) -> tuple[Served, list[Served]]:
    """The route for bodies that no route claims, and the routes that claim some."""
    claimants = [each for each in served if isinstance(each.route.does, Ingest) and each.route.does.is_claimant]
    others = [each for each in served if each not in claimants]
    if len(others) != 1:
        raise ValueError(
            f"{served[0].route.method} {served[0].route.path} has {len(others)} routes that claim nothing."
        )
    return others[0], claimants


def _handled(gate: Gate, route: Route, handler: Handler) -> Responder:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        admitted = await gate.admit(req, resp, shown_by(req, route.scope), route.scope, route.limit)
        await handler(req, resp, admitted.tenant, params)

    return respond


def _audited(gate: Gate, auditor: Auditor, route: Route, action: str, handler: Handler) -> Responder:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        admitted = await gate.admit(req, resp, shown_by(req, route.scope), route.scope, route.limit)
        async with auditor.recording(req, admitted, route, action, params):
            await handler(req, resp, admitted.tenant, params)

    return respond


def _readable_by_pages(responder: Responder) -> Responder:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        cors.allow_any_origin(req, resp)
        await responder(req, resp, **params)

    return respond
