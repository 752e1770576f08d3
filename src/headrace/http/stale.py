"""Answers that say they are stale: which routes may give them, and the headers that each has.

See docs/decisions/0186-stale-reads.md.
"""

from collections.abc import Awaitable, Callable

import falcon.asgi

from headrace.dialects.route import Handled, Ingest, Route, Tell
from headrace.model.errors import HeadraceError, Unavailable
from headrace.model.stale_reads import StaleRead, accepting_stale_reads
from headrace.model.times import render_time

Responder = Callable[..., Awaitable[None]]
STALE, COMPLETE_UNTIL = "Headrace-Stale", "Headrace-Complete-Until"
# A file outlives its headers, and a stream the outage.
_GOES_ON = frozenset({"export", "live"})


def may_be_stale(route: Route, /) -> bool:
    """Whether a route answers a question, changes nothing, and is done with one answer."""
    does = route.does
    if isinstance(does, Ingest | Tell) or route.is_audited:
        return False
    return not (isinstance(does, Handled) and does.by in _GOES_ON)


def stale_reads_of(responder: Responder, count: Callable[[], None], /) -> Responder:
    """The responder of a route whose answers may be stale, and then say so. count: called for each that is."""

    async def respond(req: falcon.asgi.Request, resp: falcon.asgi.Response, **params: str) -> None:
        with accepting_stale_reads() as read:
            try:
                await responder(req, resp, **params)
            except Unavailable:  # it is no answer
                raise
            except HeadraceError:  # such as: there is no such user
                _tell(resp, read, count)
                raise
            _tell(resp, read, count)

    return respond


def _tell(resp: falcon.asgi.Response, read: StaleRead, count: Callable[[], None]) -> None:
    if read.complete_until_ms is None:
        return
    count()
    # A copy that is kept would be told by its age to be fresh, or by its tag, once the log answers again.
    resp.set_headers({STALE: "true", "Cache-Control": "no-store"})
    if read.complete_until_ms:  # 0: nothing was stored yet
        resp.set_header(COMPLETE_UNTIL, render_time(read.complete_until_ms))
