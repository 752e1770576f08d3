"""Notes what was refused, for whoever watches: what newcomers look for first. No body, no secret."""

from collections.abc import Sequence

import falcon.asgi

from headrace.assembly.admission import Admission, Shown
from headrace.assembly.capabilities.live import Live
from headrace.assembly.clock import clock_ms
from headrace.dialects.errors import kind_of
from headrace.http.auth import shown_by
from headrace.http.console_paths import is_console
from headrace.model.batch import Rejection
from headrace.model.errors import HeadraceError
from headrace.model.event import Tenant
from headrace.model.live import Refusal

_MOST_OF_A_BATCH = 5
_MAX_CHARS = 500
_OWN = ("/internal/", "/docs", "/favicon.ico")


class RefusalNotes:
    def __init__(self, admission: Admission, live: Live) -> None:
        self._admission = admission
        self._live = live

    def note(self, req: falcon.asgi.Request, error: HeadraceError, status: int, /) -> None:
        """Note a request that was answered with an error. Not the console's own: whoever sees it there knows already."""
        if is_console(req.path) or req.path.startswith(_OWN):
            return
        shown: Shown = getattr(req.context, "shown", None) or shown_by(req, "ingest")
        if self._admission.is_local(shown):
            return
        key = self._admission.known(shown)
        refusal = _refusal(req, error, status, key.prefix if key else "")
        self._live.refused(key.tenant if key else None, refusal)

    def note_rejections(self, req: falcon.asgi.Request, tenant: Tenant, rejections: Sequence[Rejection], /) -> None:
        """Note the first events that were refused of a batch whose others were accepted."""
        key = self._admission.known(getattr(req.context, "shown", None) or shown_by(req, "ingest"))
        for each in rejections[:_MOST_OF_A_BATCH]:
            refusal = _refusal(req, each.error, 0, key.prefix if key else "", f"Event {each.index} of a batch: ")
            self._live.refused(tenant, refusal)


def _refusal(req: falcon.asgi.Request, error: HeadraceError, status: int, prefix: str, before: str = "") -> Refusal:
    return Refusal(
        at_ms=clock_ms(),
        method=req.method,
        route=(req.uri_template or "none")[:_MAX_CHARS],  # not the path, which may hold a key
        status=status,
        code=kind_of(error),
        message=(before + (error.message if req.uri_template else _no_route(req.path)))[:_MAX_CHARS],
        prefix=prefix,
        client=(req.get_header("User-Agent") or "")[:_MAX_CHARS],
    )


def _no_route(path: str) -> str:
    """Only how the path begins: further on it may hold a key."""
    return f"There is no route {'/'.join(path.split('/')[:3])}{'/…' if path.count('/') > 2 else ''}."
