"""The first step of every route: checks key, scope, rate limit and parameters. Knows no dialect."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import TypeVar
from urllib.parse import parse_qsl

import falcon.asgi

from headrace.assembly.admission import Admission, Admitted, Shown
from headrace.assembly.capabilities.asking import Ask
from headrace.assembly.key_uses import KeyUses
from headrace.dialects.wire import Pairs
from headrace.http.auth import shown_by, tell_allowance
from headrace.http.etags import send_tagged, with_tag
from headrace.http.scope import HUNG_UP
from headrace.http.strict import Strict
from headrace.http.unread import Unread
from headrace.model.askers import Asker
from headrace.model.errors import Forbidden, InvalidRequest, RateLimited, Unauthorized, Unavailable
from headrace.model.event import Tenant
from headrace.model.keys import Scope
from headrace.ports.store import Reader

_MAX_PARAMETERS = 200
_TAGGED = ("GET", "HEAD")
Answer = TypeVar("Answer")


class Gate(ABC):
    """Admits a request or raises the reason for refusing it, and queries the store for it."""

    def __init__(self, ask: Ask, unread: Unread, strict: Strict | None = None) -> None:
        self._ask = ask
        self._unread = unread
        self._strict = strict

    async def admit(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, shown: Shown, scope: Scope, limit: str, /
    ) -> Admitted:
        """The tenant that the request is bound to, and who sent it. Adds the rate-limit headers, even if it is refused.

        Raises what `Admission.admit` raises, and InvalidRequest for parameters that the route does not accept.
        """
        try:
            admitted = await self._admitted(req, shown, scope, limit)
        except RateLimited as error:
            if error.allowance:
                tell_allowance(req, resp, error.allowance)
            raise
        if admitted.allowance:
            tell_allowance(req, resp, admitted.allowance)
        if self._strict and scope != "ingest" and req.query_string:
            self._strict.check(req, parameters(req))
        return admitted

    @abstractmethod
    async def _admitted(self, req: falcon.asgi.Request, shown: Shown, scope: Scope, limit: str, /) -> Admitted:
        """See `Admission.admit`."""

    @abstractmethod
    async def still_admits(self, req: falcon.asgi.Request, tenant: Tenant, scope: Scope, /) -> bool:
        """Whether a request that was admitted would be now; counts nothing. For responses that go on. Raises Unavailable."""

    @abstractmethod
    def owner_of(self, req: falcon.asgi.Request, scope: Scope, /) -> str:
        """What tells the requests of one key, or of one session, from those of others."""

    async def answer(
        self,
        req: falcon.asgi.Request,
        resp: falcon.asgi.Response,
        tenant: Tenant,
        question: Callable[[Reader], bytes],
        /,
    ) -> None:
        """Answer with what the store is asked: to a GET with its tag, or with 304 if the client has that already.

        Raises what `ask` raises.
        """
        if req.method not in _TAGGED:
            resp.data = await self.ask(req, tenant, question)
            return
        body, tag = await self.ask(req, tenant, lambda reader: with_tag(question(reader)))
        send_tagged(req, resp, body, tag)

    async def ask(self, req: falcon.asgi.Request, tenant: Tenant, question: Callable[[Reader], Answer], /) -> Answer:
        """Query the store; cancelled if the client hangs up. Raises what `Ask` raises."""

        def ask_with_room(reader: Reader) -> Answer:
            self._unread.require_room()  # only once it is this query's turn: many may be waiting
            return question(reader)

        by = Asker(tenant.project, req.uri_template or "")
        return await unless_hung_up(req, self._ask(ask_with_room, by))


async def unless_hung_up(req: falcon.asgi.Request, work: Awaitable[Answer], /) -> Answer:
    """What the work returns; it is cancelled if the client hangs up. Raises Unavailable if it was stopped before the client."""
    asked = asyncio.ensure_future(work)
    req.scope[HUNG_UP] = asked.cancel
    try:
        return await asked
    except asyncio.CancelledError:
        if HUNG_UP in req.scope:
            raise
        raise Unavailable("The query was stopped: the client hung up, or the server is shutting down.") from None
    finally:
        req.scope.pop(HUNG_UP, None)
        del asked  # it holds the error that is raised here, whose traceback holds this frame


class KeyGate(Gate):
    """Admits by key."""

    def __init__(
        self, admission: Admission, ask: Ask, unread: Unread, strict: Strict | None = None, uses: KeyUses | None = None
    ) -> None:
        super().__init__(ask, unread, strict)
        self._admission = admission
        self._uses = uses

    async def _admitted(self, req: falcon.asgi.Request, shown: Shown, scope: Scope, limit: str, /) -> Admitted:
        admitted = await self._admission.admit(shown, scope, limit)
        if self._uses is not None and admitted.key is not None:
            agent = req.get_header("User-Agent") or ""
            self._uses.note(admitted.key.id, limit, req.method, req.uri_template or "", agent)
        return admitted

    async def still_admits(self, req: falcon.asgi.Request, tenant: Tenant, scope: Scope, /) -> bool:
        """See Gate."""
        try:
            return (await self._admission.admit(shown_by(req, scope), scope, "")).tenant == tenant
        except (Unauthorized, Forbidden):
            return False

    def owner_of(self, req: falcon.asgi.Request, scope: Scope, /) -> str:
        """See Gate."""
        return sha256(shown_by(req, scope).secret(scope).encode(errors="surrogatepass")).hexdigest()


def parameters(req: falcon.asgi.Request, /) -> Pairs:
    """The query string's parameters in order, including empty ones. Raises InvalidRequest for too many, or for bad UTF-8."""
    try:
        return parse_qsl(req.query_string, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise InvalidRequest("The query string is not UTF-8.") from None
    except ValueError:
        raise InvalidRequest(f"The query string has more than {_MAX_PARAMETERS} parameters.") from None
