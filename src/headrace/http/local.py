"""What commands on this machine ask a running server, with the token that it left in its data folder. For no one else."""

import falcon
import falcon.asgi

from headrace.assembly.admission import Admission
from headrace.assembly.capabilities import ServerStatus
from headrace.dialects.wire import encode_json
from headrace.http.auth import shown_by
from headrace.model.errors import InvalidKey


class Check:
    """GET /internal/check: `headrace check`, over the engine that only this process may open."""

    def __init__(self, admission: Admission, status: ServerStatus) -> None:
        self._admission = admission
        self._status = status

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        if not self._admission.is_local(shown_by(req, "admin")):
            raise InvalidKey("This route only accepts commands from the server's own machine.")
        resp.data = encode_json(await self._status.check())
