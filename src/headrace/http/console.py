"""Mounts the console: its page and files, its own routes, and the API's routes a second time, admitted by its session.

Nothing here is open to pages of other origins: no reply has CORS headers, and no preflight is answered.
"""

from collections.abc import Sequence
from typing import Any

import falcon.asgi

from headrace.assembly.console import ConsoleAdmission
from headrace.dialects.route import Dialect, Ingest, Tell
from headrace.http.audited import Auditor
from headrace.http.console_gate import ConsoleGate
from headrace.http.console_page import Assets, Page
from headrace.http.console_paths import API, ROOT, console_path
from headrace.http.console_sessions import EverySession, OwnSession, refuse_preflight
from headrace.http.direct import App
from headrace.http.ingest import Served
from headrace.http.mount import Mounted, Responder, Responders

_SENDS_IN = ("flux", "bricqs", "solute")  # the dialects that the console can send an event in
# Not what is for SDKs alone, whose paths would become those of others: /v1/groups is Hogsend's, /api/v1/groups the native one.
_BELOW = ("/api/", "/v1/admin/")


def mount_console(
    app: App,
    gate: ConsoleGate,
    console: ConsoleAdmission,
    auditor: Auditor,
    dialects: Sequence[Dialect],
    make: Responders,
) -> None:
    """make: with the console's gate."""
    paths: dict[str, dict[str, Served]] = {}
    for dialect in dialects:
        for route in dialect.routes:
            does = route.does
            if isinstance(does, Tell) or (isinstance(does, Ingest) and (does.is_claimant or route.method == "GET")):
                continue
            if isinstance(does, Ingest) and dialect.name not in _SENDS_IN:
                continue
            if route.path.startswith(_BELOW):
                paths.setdefault(console_path(route.path), {})[route.method] = Served(route, dialect)
    for path, methods in paths.items():
        responders: dict[str, Responder] = {
            f"on_{method.lower()}": make.responder(served, ()) for method, served in methods.items()
        }
        app.add_route(path, Mounted(responders | {"on_options": _no_preflight(tuple(methods))}))
    own, every = OwnSession(gate, console, auditor), EverySession(gate, console, auditor)
    app.add_route(f"{API}/session", own)
    app.add_route(f"{API}/sessions", every)
    app.add_route(f"{API}/sessions/{{session_id}}", every, suffix="one")
    page = Page()
    app.add_route(ROOT, page)
    app.add_route(f"{ROOT}/assets/{{file}}", Assets())
    app.add_route(f"{ROOT}/{{rest:path}}", page, suffix="below")


def _no_preflight(methods: tuple[str, ...]) -> Responder:
    async def respond(req: falcon.asgi.Request, _resp: falcon.asgi.Response, **_params: Any) -> None:
        refuse_preflight(req, methods)

    return respond
