"""What a worker answers that stands by: that it does, which partitions of the log it stores, and nothing else."""

from collections.abc import Callable, Sequence
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from headrace.assembly.figures import PARTITIONS_STORED
from headrace.dialects.wire import encode_json
from headrace.http.problems import Problems
from headrace.model.errors import Unavailable

_OK, _JSON = 200, "application/json"


class Standby:
    """An ASGI application that becomes the server's once `active` is set."""

    def __init__(self, problems: Problems, partitions: Callable[[], Sequence[int]] | None = None) -> None:
        """partitions: those that this worker stores although it stands by; None where the log has only one."""
        self.active: Callable[[Any, Any, Any], Any] | None = None
        self._problems = problems
        self._partitions = partitions
        registry = CollectorRegistry()
        role = Gauge("headrace_role", "1 for what this process does.", ["role"], registry=registry)
        role.labels("standby").set(1)
        if partitions is not None:
            stored = Gauge("headrace_partitions_stored", PARTITIONS_STORED, registry=registry)
            stored.set_function(lambda: len(partitions()))
        self._metrics = registry

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
                storing = {"partitions": held} if (held := self._partitions and self._partitions()) else {}
                return _OK, {"content-type": _JSON}, encode_json({"status": "ready", "role": "standby"} | storing)
            if path == "/metrics":
                return _OK, {"content-type": CONTENT_TYPE_LATEST}, generate_latest(self._metrics)
        error = Unavailable("This worker stands by: another one is active.", retry_after_s=5)
        status, headers, body = self._problems.reply_to(path, error)
        return int(status), headers, body
