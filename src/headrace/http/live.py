"""GET /api/v1/live: server-sent events of what is stored, as it is stored."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Self

import falcon
import falcon.asgi
import msgspec

from headrace.assembly.capabilities.live import Live, Tail, Watching
from headrace.assembly.capabilities.people import PeopleDirectory
from headrace.dialects.native_live import COMMENT, RESET, parse_last_id, parse_live, render_message, render_told
from headrace.http.gate import Gate, parameters
from headrace.http.handler import Handlers
from headrace.http.scope import HUNG_UP, OPERATOR, STREAM
from headrace.model.errors import Unavailable
from headrace.model.event import Tenant, received_at_ms
from headrace.model.filters import Filters
from headrace.model.live import Told

_LOOK_EVERY_S = 0.4  # whether the key still works, which must show within a second
_COMMENT_EVERY_S = 15.0


class LiveEvents:
    def __init__(self, gate: Gate, live: Live, people: PeopleDirectory) -> None:
        self._gate = gate
        self._live = live
        self._people = people

    def handlers(self) -> Handlers:
        return {
            "live": self.show,
        }

    async def show(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, tenant: Tenant, _path: Mapping[str, str]
    ) -> None:
        filters = await self._filters(tenant, parse_live(parameters(req)))
        since = parse_last_id(req.get_header("Last-Event-ID") or "")
        resp.content_type = "text/event-stream"
        resp.set_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        if req.method == "HEAD":
            return
        watching, owner = Watching(), self._gate.owner_of(req, "query")
        tail = self._live.open(owner, tenant, filters, watching, hears_strangers=OPERATOR in req.scope)
        try:
            first = await self._first(tail, since)
        except BaseException:
            self._live.close(owner, tail)
            raise
        req.scope[HUNG_UP] = req.scope[STREAM] = watching.end
        resp.stream = _Stream(self._told(req, tail, watching, first), lambda: self._live.close(owner, tail))

    async def _filters(self, tenant: Tenant, filters: Filters) -> Filters:
        """Events are matched in memory, where nobody knows who is one person: so the ids are looked up once."""
        if filters.person is None:
            return filters
        found = await self._people.one(tenant, filters.person)
        ids = tuple(found.ids) if found else (filters.person,)
        return msgspec.structs.replace(filters, person=None, people=ids)

    async def _first(self, tail: Tail, since: int | None) -> bytes:
        """What has happened since, or the newest rows before now; and what was refused of late."""
        missed = await (self._live.newest(tail) if since is None else self._live.missed(tail, since))
        refusals = self._live.latest_refusals(tail, 0 if since is None else received_at_ms(since))
        start = RESET + render_message(Told(tail.after)) if missed is None else render_message(missed)
        return start + render_told(Told(0, refusals=refusals))

    async def _told(
        self, req: falcon.asgi.Request, tail: Tail, watching: Watching, first: bytes
    ) -> AsyncIterator[bytes]:
        yield first
        assert tail.tenant is not None  # noqa: S101
        quiet_s = 0.0
        while not watching.ended:
            has_news = await watching.wait(_LOOK_EVERY_S)
            if watching.ended or not await self._is_admitted(req, tail.tenant):
                return
            if has_news:
                told = tail.take()
                if told.lost:
                    yield RESET
                    return
                quiet_s = 0.0
                yield render_told(told)
            elif (quiet_s := quiet_s + _LOOK_EVERY_S) >= _COMMENT_EVERY_S:
                quiet_s = 0.0
                yield COMMENT

    async def _is_admitted(self, req: falcon.asgi.Request, tenant: Tenant) -> bool:
        """Where nobody can say, the stream ends: whoever comes back is told why."""
        try:
            return await self._gate.still_admits(req, tenant, "query")
        except Unavailable:
            return False


class _Stream(AsyncIterator[bytes]):
    """What Falcon sends. Closed however the response ends, even if it never began."""

    def __init__(self, told: AsyncIterator[bytes], on_close: Callable[[], None]) -> None:
        self._told = told
        self._on_close = on_close

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._told)

    async def close(self) -> None:
        self._on_close()
