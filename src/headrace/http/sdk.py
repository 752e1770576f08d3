"""What SDKs ask a server before they send events. Answers; never stores."""

import falcon
import falcon.asgi

from headrace.dialects import posthog, posthog_config, segment
from headrace.http import cors
from headrace.http.auth import has_key
from headrace.http.body import read_body
from headrace.http.gate import Gate

_MAX_QUESTION_BYTES = 256 * 1024


class SegmentSettings:
    """GET /v1/projects/{write_key}/settings: what analytics.js loads from its CDN."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, write_key: str) -> None:
        cors.allow_any_origin(req, resp)
        await self._gate.admit(req, resp, "ingest", "segment", write_key)
        resp.data = segment.render_settings(write_key, req.forwarded_scheme, req.forwarded_host)


class PostHogFlags:
    """POST /flags and /decide: which feature flags there are. None."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_post(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.allow_any_origin(req, resp)
        body = await read_body(req, _MAX_QUESTION_BYTES)
        secret = "" if has_key(req, "ingest") else posthog.find_key(body)
        await self._gate.admit(req, resp, "ingest", "posthog", secret)
        resp.data = posthog_config.render_flags()

    async def on_options(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        cors.answer_preflight(req, resp, "POST, OPTIONS")


class PostHogConfig:
    """GET /array/{token}/config and config.js: what posthog-js loads before it starts."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, token: str) -> None:
        cors.allow_any_origin(req, resp)
        await self._gate.admit(req, resp, "ingest", "posthog", token)
        resp.data = posthog_config.render_config(token)

    async def on_get_script(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, token: str) -> None:
        cors.allow_any_origin(req, resp)
        await self._gate.admit(req, resp, "ingest", "posthog", token)
        resp.data = posthog_config.render_config_script(token)
        resp.content_type = falcon.MEDIA_JS
