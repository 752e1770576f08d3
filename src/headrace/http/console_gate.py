"""Admits the console's requests: by the session in its cookie, and by nothing else. Never looks at a key."""

import falcon.asgi

from headrace.assembly.admission import Admitted, Shown
from headrace.assembly.capabilities.asking import Ask
from headrace.assembly.console import ConsoleAdmission
from headrace.http.console_fence import Fence, Visitor, token_of
from headrace.http.gate import Gate
from headrace.http.scope import OPERATOR
from headrace.http.strict import Strict
from headrace.http.unread import Unread
from headrace.model.event import Tenant
from headrace.model.keys import OPERATORS_KEY, Scope

_TOKEN = "headrace.console_token"  # noqa: S105  a name in the request's scope


class ConsoleGate(Gate):
    def __init__(
        self, console: ConsoleAdmission, fence: Fence, ask: Ask, unread: Unread, strict: Strict | None = None
    ) -> None:
        super().__init__(ask, unread, strict)
        self._console = console
        self._fence = fence

    async def visit(self, req: falcon.asgi.Request, /) -> tuple[Visitor, str]:
        """Who visits, and the token of their session, "" for none. Raises Forbidden, Unavailable."""
        visitor = self._fence.check(req)
        req.scope[_TOKEN] = token = token_of(req, await self.cookie())
        return visitor, token

    async def cookie(self) -> str:
        """The cookie's name. Cookies ignore ports, so it differs between servers on one host. Raises Unavailable."""
        return f"headrace_{await self._console.server_id()}"

    async def _admitted(self, req: falcon.asgi.Request, shown: Shown, scope: Scope, limit: str, /) -> Admitted:  # noqa: ARG002
        _, token = await self.visit(req)
        project, mode = (req.get_header(f"Headrace-{name}") or "" for name in ("Project", "Mode"))
        admitted, session = await self._console.admit(token, project, mode, scope)
        if session.is_operator or (admitted.key is not None and admitted.key.id == OPERATORS_KEY):
            req.scope[OPERATOR] = True
        return admitted

    async def still_admits(self, req: falcon.asgi.Request, tenant: Tenant, scope: Scope, /) -> bool:
        """See Gate."""
        return await self._console.still_admits(req.scope[_TOKEN], tenant, scope)

    def owner_of(self, req: falcon.asgi.Request, scope: Scope, /) -> str:  # noqa: ARG002
        """See Gate."""
        return str(req.scope[_TOKEN])
