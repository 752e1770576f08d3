"""The console's own routes: log in, look at the session, log out, list sessions and end them."""

import asyncio

import falcon
import falcon.asgi
import msgspec

from headrace import __version__
from headrace.assembly.admission import Admitted
from headrace.assembly.console import OPERATOR, ConsoleAdmission, Opened
from headrace.dialects.native import render_data
from headrace.http.audited import Auditor
from headrace.http.body import read_body
from headrace.http.console_fence import Visitor, set_cookie
from headrace.http.console_files import state
from headrace.http.console_gate import ConsoleGate
from headrace.model.console import Session
from headrace.model.errors import InvalidRequest, MethodNotAllowed
from headrace.model.event import Tenant
from headrace.model.keys import SCOPES
from headrace.model.times import render_time_short

_MAX_BYTES = 16 * 1024


class _Login(msgspec.Struct, forbid_unknown_fields=True):
    key: str = ""
    code: str = ""


class OwnSession:
    """/console/api/session"""

    def __init__(self, gate: ConsoleGate, console: ConsoleAdmission, auditor: Auditor) -> None:
        self._gate = gate
        self._console = console
        self._auditor = auditor

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """The session, and what it opens; 401 without one."""
        _, token = await self._gate.visit(req)
        await self._show(resp, await self._console.find(token))

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Log in by `{"key":…}` or by `{"code":…}` of `headrace console`."""
        visitor, token = await self._gate.visit(req)
        try:
            login = msgspec.json.decode(await read_body(req, _MAX_BYTES), type=_Login)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise InvalidRequest('Send {"key":"…"} or {"code":"…"}.') from None
        if bool(login.key) == bool(login.code):
            raise InvalidRequest('Send either {"key":"…"} or {"code":"…"}.')
        log_in = self._console.log_in_by_key if login.key else self._console.log_in_by_code
        session, new = await log_in((login.key or login.code).strip(), token, visitor.address)
        await self._auditor.note(req, _admitted(session, by_key=bool(login.key)), "console_login", session.id)
        await self._set(resp, new, visitor)
        await self._show(resp, session)
        resp.status = falcon.HTTP_201

    async def on_delete(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        """Log out."""
        visitor, token = await self._gate.visit(req)
        session = await self._console.find(token)
        await self._console.end(session, session.id)
        await self._auditor.note(req, _admitted(session), "console_logout", session.id)
        await self._set(resp, "", visitor)
        resp.status = falcon.HTTP_204

    async def on_options(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        refuse_preflight(req, ("GET", "POST", "DELETE"))

    async def _set(self, resp: falcon.asgi.Response, token: str, visitor: Visitor) -> None:
        set_cookie(resp, await self._gate.cookie(), token, visitor)

    async def _show(self, resp: falcon.asgi.Response, session: Session) -> None:
        opens = [_opened_value(each) for each in await self._console.opens(session)]
        built = await asyncio.to_thread(state)  # hashes the sources the first time, where there are any
        resp.data = render_data(_session_value(session) | {"opens": opens, "version": __version__, "console": built})
        resp.set_header("Cache-Control", "no-store")


class EverySession:
    """/console/api/sessions, and /console/api/sessions/{session_id}"""

    def __init__(self, gate: ConsoleGate, console: ConsoleAdmission, auditor: Auditor) -> None:
        self._gate = gate
        self._console = console
        self._auditor = auditor

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _, token = await self._gate.visit(req)
        own = await self._console.find(token)
        listed = await self._console.listed(own)
        resp.data = render_data([_session_value(each) | {"is_this": each.id == own.id} for each in listed])
        resp.set_header("Cache-Control", "no-store")

    async def on_delete_one(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, session_id: str) -> None:
        _, token = await self._gate.visit(req)
        own = await self._console.find(token)
        await self._console.end(own, session_id)
        await self._auditor.note(req, _admitted(own), "end_console_session", session_id)
        resp.status = falcon.HTTP_204

    async def on_options(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        refuse_preflight(req, ("GET",))

    async def on_options_one(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response, session_id: str) -> None:  # noqa: ARG002
        refuse_preflight(req, ("DELETE",))


def refuse_preflight(req: falcon.asgi.Request, methods: tuple[str, ...], /) -> None:
    """Nothing of the console answers a browser that asks for a page of another origin."""
    raise MethodNotAllowed(req.method, methods)


def _admitted(session: Session, *, by_key: bool = True) -> Admitted:
    """Whose session it is, as the audit knows people."""
    if session.keys and (by_key or not session.is_operator):
        return Admitted(session.keys[0].tenant, key=session.keys[0])
    return Admitted(Tenant("", "live"), user=OPERATOR)


def _session_value(session: Session) -> dict[str, object]:
    return {
        "id": session.id,
        "operator": session.is_operator,
        "keys": [_opened_value(Opened(each.tenant, each.scopes, each.prefix or each.id)) for each in session.keys],
        "address": session.address,
        "created_at": render_time_short(session.created_at_ms),
        "last_used_at": render_time_short(session.used_at_ms),
        "ends_at": render_time_short(session.ends_at_ms),
    }


def _opened_value(opened: Opened) -> dict[str, object]:
    return {
        "project": opened.tenant.project,
        "mode": opened.tenant.mode,
        "scopes": [scope for scope in SCOPES if scope in opened.scopes],
        "key": opened.key or None,
    }
