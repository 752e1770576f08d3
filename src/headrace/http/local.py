"""Routes for commands on this machine, which show the token from the server's data folder. Not for anybody else."""

import falcon
import falcon.asgi

from headrace.assembly.admission import Admission
from headrace.assembly.capabilities import ServerStatus
from headrace.dialects.wire import encode_json
from headrace.http.auth import shown_by
from headrace.model.errors import InvalidKey


class Check:
    """GET /internal/check: runs `headrace check` in the only process that may open the engine."""

    def __init__(self, admission: Admission, status: ServerStatus) -> None:
        self._admission = admission
        self._status = status

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        if not self._admission.is_local(shown_by(req, "admin")):
            raise InvalidKey("This route only accepts commands from the server's own machine.")
        resp.data = encode_json(await self._status.check())
