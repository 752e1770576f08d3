"""Routes only for commands on this machine, which show the token from the server's data folder."""

import falcon
import falcon.asgi

from headrace.assembly.admission import Admission
from headrace.assembly.capabilities.erasures import RetentionAdmin
from headrace.assembly.capabilities.server import BackupAdmin, QuarantineAdmin, ServerStatus
from headrace.assembly.console import ConsoleAdmission
from headrace.dialects.wire import encode_json
from headrace.http.audited import Auditor
from headrace.http.auth import shown_by
from headrace.http.body import read_body
from headrace.model.errors import InvalidKey

_MAX_BYTES = 256 * 1024 * 1024


class Check:
    """GET /internal/check: runs `headrace check` in the only process that may open the engine."""

    def __init__(self, admission: Admission, status: ServerStatus) -> None:
        self._admission = admission
        self._status = status

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _require_local(self._admission, req)
        resp.data = encode_json(await self._status.check())


class Quarantine:
    """POST /internal/quarantine: `headrace quarantine`. Audits by itself, because some of what is asked changes nothing."""

    audits_itself = True

    def __init__(self, admission: Admission, quarantine: QuarantineAdmin, auditor: Auditor) -> None:
        self._admission = admission
        self._quarantine = quarantine
        self._auditor = auditor

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _require_local(self._admission, req)
        asked = self._quarantine.parse(await read_body(req, _MAX_BYTES))
        if asked.action == "list":
            resp.data = encode_json(await self._quarantine.ask(asked))
            return
        deed = self._auditor.command(req, f"quarantine {asked.action}", ", ".join(asked.ids))
        async with self._auditor.doing(deed, in_control=False):
            resp.data = encode_json(await self._quarantine.ask(asked))


class Backup:
    """POST /internal/backup: `headrace backup`."""

    def __init__(self, admission: Admission, backups: BackupAdmin) -> None:
        self._admission = admission
        self._backups = backups

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _require_local(self._admission, req)
        resp.data = encode_json(await self._backups.make(await read_body(req, _MAX_BYTES)))


class ConsoleCode:
    """POST /internal/console: `headrace console`."""

    def __init__(self, admission: Admission, console: ConsoleAdmission) -> None:
        self._admission = admission
        self._console = console

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _require_local(self._admission, req)
        resp.data = encode_json({"code": self._console.new_code()})


class StoreColumns:
    """GET /internal/columns: `headrace store columns`."""

    def __init__(self, admission: Admission, status: ServerStatus) -> None:
        self._admission = admission
        self._status = status

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _require_local(self._admission, req)
        resp.data = encode_json(await self._status.columns())


class Prune:
    """POST /internal/prune: `headrace prune`. Audits by itself, because a dry run changes nothing."""

    audits_itself = True

    def __init__(self, admission: Admission, retention: RetentionAdmin, auditor: Auditor) -> None:
        self._admission = admission
        self._retention = retention
        self._auditor = auditor

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _require_local(self._admission, req)
        asked = self._retention.parse_prune(await read_body(req, _MAX_BYTES))
        if asked.dry_run:
            resp.data = encode_json(await self._retention.prune(asked))
            return
        deed = self._auditor.command(req, "prune", asked.said)
        deed.project, deed.mode = asked.project, asked.mode
        async with self._auditor.doing(deed, in_control=False):
            resp.data = encode_json(await self._retention.prune(asked))


def _require_local(admission: Admission, req: falcon.asgi.Request) -> None:
    if not admission.is_local(shown_by(req, "admin")):
        raise InvalidKey("This route only accepts commands from the server's own machine.")
