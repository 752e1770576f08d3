"""What commands on this machine ask a running server, with the token that it left in its data folder. For no one else."""

import asyncio
import hmac

import falcon
import falcon.asgi

from headrace.dialects.wire import encode_json
from headrace.errors import InvalidKey, Unavailable
from headrace.ports import ControlFailed, StoreFailed
from headrace.runtime import Runtime


class Check:
    """GET /internal/check: `headrace check`, over the engine that only this process may open."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        _, _, token = (req.get_header("Authorization") or "").partition(" ")
        if not hmac.compare_digest(token.encode(), self._runtime.local_token.encode()):
            raise InvalidKey("This route is for commands on the server's own machine.")
        try:
            report = await asyncio.to_thread(self._runtime.check)
        except (StoreFailed, ControlFailed) as error:
            raise Unavailable(f"The check could not be finished: {error}") from error
        resp.data = encode_json(report)
        resp.content_type = falcon.MEDIA_JSON
