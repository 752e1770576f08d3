"""What commands on this machine ask a running server, with the token that it left in its data folder. For no one else."""

import asyncio

import falcon
import falcon.asgi

from headrace.assembly.runtime import Runtime
from headrace.dialects.wire import encode_json
from headrace.http.auth import shown_by
from headrace.model.errors import InvalidKey, Unavailable
from headrace.ports.control import ControlFailed
from headrace.ports.store import StoreFailed


class Check:
    """GET /internal/check: `headrace check`, over the engine that only this process may open."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        if not self._runtime.admission.is_local(shown_by(req, "admin")):
            raise InvalidKey("This route is for commands on the server's own machine.")
        try:
            report = await asyncio.to_thread(self._runtime.check)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The check could not be finished: {error}") from error
        resp.data = encode_json(report)
