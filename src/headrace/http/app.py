"""The HTTP application: the dialects' routes, and the server's own."""

from collections.abc import Sequence
from http import HTTPStatus

import falcon
import falcon.asgi

from headrace.assembly.capabilities.bundle import Capabilities
from headrace.assembly.capabilities.server import ServerStatus
from headrace.dialects.route import Dialect
from headrace.dialects.table import DIALECTS
from headrace.dialects.wire import encode_json
from headrace.http import docs
from headrace.http.addresses import Addresses
from headrace.http.audited import Auditor
from headrace.http.body import Budget
from headrace.http.console import mount_console
from headrace.http.console_fence import Fence
from headrace.http.console_gate import ConsoleGate
from headrace.http.direct import App
from headrace.http.gate import KeyGate
from headrace.http.handlers import handlers_of
from headrace.http.landing import Landing
from headrace.http.local import Backup, Check, ConsoleCode, Prune, Quarantine, StoreColumns
from headrace.http.metrics import Metrics
from headrace.http.mount import Responders, mount
from headrace.http.noted import RefusalNotes
from headrace.http.problems import Problems
from headrace.http.strict import Strict
from headrace.http.unread import Unread


class _Health:
    """/health tells that the process answers, and /ready that events are being stored."""

    def __init__(self, status: ServerStatus) -> None:
        self._status = status

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = encode_json({"status": "ok"})

    async def on_get_ready(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        hindrance = self._status.hindrance()
        resp.status = int(HTTPStatus.SERVICE_UNAVAILABLE if hindrance else HTTPStatus.OK)
        found = {"problems": problems} if (problems := self._status.problems()) else {}
        log = {"log": promise} if (promise := self._status.promise_of_log()) else {}
        role = {"role": role} if (role := self._status.role()) else {}
        stale = {"stale_reads": "on"} if self._status.stale_reads() else {}
        resp.data = encode_json({"status": hindrance or "ready"} | role | log | stale | found)


def create_app(can: Capabilities, unread: Unread, /, dialects: Sequence[Dialect] = DIALECTS) -> App:
    """The ASGI application of a server that speaks these dialects. Raises what Addresses raises."""
    settings = can.settings
    addresses = Addresses(settings)
    strict = Strict() if settings.unknown_parameters == "reject" else None
    gate = KeyGate(can.admission, can.ask, unread, strict, can.key_uses)
    console_gate = ConsoleGate(can.console, Fence(settings, addresses), can.ask, unread, strict)
    bodies = Budget(max(settings.max_bodies_bytes, settings.max_request_bytes))
    metrics = Metrics(can.status, bodies, unread)
    # Responses are JSON (falcon.DEFAULT_MEDIA_TYPE) unless a route sets another type.
    app = App(metrics, bodies)
    app.req_options.strip_url_path_trailing_slash = True
    notes = RefusalNotes(can.admission, can.live)
    Problems(dialects).install(app, metrics.count_refusal, notes.note)
    auditor = Auditor(can.audit, can.admission, addresses, settings.admin_key)
    app.auditor = auditor
    rest = (auditor, addresses)
    mount(app, dialects, Responders(gate, can.intake, settings, metrics, handlers_of(gate, can, metrics), *rest, notes))
    by_session = Responders(console_gate, can.intake, settings, metrics, handlers_of(console_gate, can, metrics), *rest)
    mount_console(app, console_gate, can.console, auditor, dialects, by_session)
    health = _Health(can.status)
    app.add_route("/", Landing())
    app.add_route("/health", health)
    app.add_route("/ready", health, suffix="ready")
    app.add_route("/metrics", metrics)
    app.add_route("/internal/check", Check(can.admission, can.status))
    app.add_route("/internal/quarantine", Quarantine(can.admission, can.quarantine, auditor))
    app.add_route("/internal/backup", Backup(can.admission, can.backups))
    app.add_route("/internal/console", ConsoleCode(can.admission, can.console))
    app.add_route("/internal/columns", StoreColumns(can.admission, can.status))
    app.add_route("/internal/prune", Prune(can.admission, can.retention, auditor))
    for path, resource in docs.routes():
        app.add_route(path, resource)
    return app
