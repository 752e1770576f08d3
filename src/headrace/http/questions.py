"""Routes that answer one query of the store, and routes that answer an SDK's requests before it sends events.

Answers are rendered in the reader's thread and not on the event loop, because they may be large.
"""

from collections.abc import Awaitable, Callable

import falcon.asgi
import msgspec

from headrace.assembly.clock import clock_ms
from headrace.dialects.route import Ask, Asked, Route, Tell, Told
from headrace.http import cors
from headrace.http.addresses import Addresses
from headrace.http.auth import shown_by
from headrace.http.body import read_body
from headrace.http.gate import Gate, parameters

_MAX_QUESTION_BYTES = 256 * 1024


def ask(gate: Gate, route: Route, does: Ask, /) -> Callable[..., Awaitable[None]]:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        admitted = await gate.admit(req, resp, shown_by(req, route.scope), route.scope, route.limit)
        tenant = admitted.tenant
        await gate.answer(req, resp, tenant, does.question(Asked(tenant, params, parameters(req), clock_ms())))

    return respond


def tell(gate: Gate, addresses: Addresses, route: Route, does: Tell, /) -> Callable[..., Awaitable[None]]:
    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        cors.allow_any_origin(req, resp)
        shown = shown_by(req, route.scope, params[does.key_in_path] if does.key_in_path else "")
        if does.key_in_query and not shown.secret(route.scope):
            shown = msgspec.structs.replace(shown, in_body=req.get_param(does.key_in_query) or "")
        if does.find_key:
            body = await read_body(req, _MAX_QUESTION_BYTES)
            if not shown.secret(route.scope):
                shown = msgspec.structs.replace(shown, in_body=does.find_key(body))
        await gate.admit(req, resp, shown, route.scope, route.limit)
        scheme, host = addresses.of(req) if does.tells_address else ("", "")
        resp.data = does.render(Told(params, scheme, host, clock_ms()))
        if does.tells_address:
            resp.set_header("Cache-Control", "no-store")
        if does.media_type:
            resp.content_type = does.media_type

    return respond
