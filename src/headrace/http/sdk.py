"""What SDKs ask a server before they send events. Answers; never stores."""

import falcon
import falcon.asgi

from headrace.dialects import segment
from headrace.http import cors
from headrace.http.gate import Gate


class SegmentSettings:
    """GET /v1/projects/{write_key}/settings: what analytics.js loads from its CDN."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, write_key: str) -> None:
        cors.allow_any_origin(resp)
        await self._gate.admit(req, resp, "ingest", "segment", write_key)
        resp.data = segment.render_settings(write_key, req.forwarded_scheme, req.forwarded_host)
        resp.content_type = falcon.MEDIA_JSON
