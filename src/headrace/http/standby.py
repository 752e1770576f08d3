"""What a worker answers that stands by: that it does, and nothing else."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from headrace.dialects.wire import encode_json
from headrace.http.problems import Problems
from headrace.model.errors import Unavailable

_OK, _JSON = 200, "application/json"


class Standby:
    """An ASGI application that becomes the server's once `active` is set."""

    def __init__(self, problems: Problems) -> None:
        self.active: Callable[[Any, Any, Any], Any] | None = None
        self._problems = problems
        registry = CollectorRegistry()
        role = Gauge("headrace_role", "1 for what this process does.", ["role"], registry=registry)
        role.labels("standby").set(1)
        self._metrics = generate_latest(registry)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if self.active is not None:
            await self.active(scope, receive, send)
            return
        status, headers, body = self._answer_to(scope["method"], scope["path"].rstrip("/"))
        fields = [(name.encode(), value.encode()) for name, value in headers.items()]
        fields.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer_to(self, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
        if method in ("GET", "HEAD"):
            if path == "/health":
                return _OK, {"content-type": _JSON}, encode_json({"status": "ok"})
            if path == "/ready":
                return _OK, {"content-type": _JSON}, encode_json({"status": "ready", "role": "standby"})
            if path == "/metrics":
                return _OK, {"content-type": CONTENT_TYPE_LATEST}, self._metrics
        error = Unavailable("This worker stands by: another one is active.", retry_after_s=5)
        status, headers, body = self._problems.reply_to(path, error)
        return int(status), headers, body
