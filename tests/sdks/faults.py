"""A proxy in front of a server that fails as asked, and then does its work. Knows no dialect.

Each request that sends events takes the next fault of the plan: "500", "429" and "503" never reach the server, and the last two say
when to come back; "lost" reaches it, and its answer does not come back; "kill" kills the server with SIGKILL once it has the whole
request, and starts it again; "pass" lets one through.
"""

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

from tests.server import Server

Fault = Literal["500", "429", "503", "lost", "kill", "pass"]
# What SDKs ask beside sending events.
_ASKS = ("/flags", "/decide")
_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class FaultyProxy:
    """`url` stands for the server's; `met` are the faults that senders have met so far, `asked` how and where they sent.

    gateway: where there is no answer of the server's, a sender hears 502, as from a load balancer; otherwise its connection is cut.
    lock: one for all proxies of a server that is killed; who comes while it starts waits for it.
    """

    def __init__(
        self, server: Server, plan: list[Fault], *, gateway: bool = False, lock: "threading.Lock | None" = None
    ) -> None:
        self.met: list[Fault] = []
        self.asked: list[str] = []
        self._server = server
        self._gateway = gateway
        self._plan = list(plan)
        self._lock = lock or threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                proxy.handle(self)

            do_GET = do_OPTIONS = do_POST  # noqa: N815  the names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"

    def __enter__(self) -> "FaultyProxy":
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()

    def handle(self, request: BaseHTTPRequestHandler) -> None:
        body = _body_of(request)
        sends = _sends(request)
        with self._lock:
            fault = self._plan.pop(0) if sends and self._plan else None
            if fault:
                self.met.append(fault)
            if sends:
                self.asked.append(f"{request.command} {request.path.partition('?')[0]}")
        if fault in ("500", "429", "503"):
            _make_up(request, int(fault))
        elif fault == "kill":
            with self._lock:
                self._send(request, body).close()
                self._server.kill()
                self._server.start()
            self._stay_silent(request)
        else:
            try:
                with self._lock:
                    connection = self._send(request, body)
                try:
                    response = connection.getresponse()
                    content = response.read()
                finally:
                    connection.close()
            except (OSError, http.client.HTTPException):  # the server was killed meanwhile
                self._stay_silent(request)
                return
            if fault == "lost":
                self._stay_silent(request)
            else:
                _answer(request, response.status, response.getheaders(), content)

    def _stay_silent(self, request: BaseHTTPRequestHandler) -> None:
        if self._gateway:
            _make_up(request, 502)
        else:
            request.close_connection = True

    def _send(self, request: BaseHTTPRequestHandler, body: bytes) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(urlsplit(self._server.url).netloc, timeout=60)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP | {"host"}}
        # As a reverse proxy does, so that what the server says of its own address leads back through here.
        headers["Host"] = request.headers["Host"]
        connection.request(request.command, request.path, body or None, headers)
        return connection


def _sends(request: BaseHTTPRequestHandler) -> bool:
    """Whether the request carries events: in its body or, for SDKs that send by GET, in its query."""
    by_post = request.command == "POST" and not request.path.startswith(_ASKS)
    return by_post or (request.command == "GET" and "data=" in request.path)


def _body_of(request: BaseHTTPRequestHandler) -> bytes:
    if request.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts: list[bytes] = []
    while size := int(request.rfile.readline().split(b";")[0], 16):
        parts.append(request.rfile.read(size))
        request.rfile.readline()
    request.rfile.readline()
    return b"".join(parts)


def _make_up(request: BaseHTTPRequestHandler, status: int) -> None:
    """An answer in the words of no dialect, as a load balancer's are."""
    headers = [("Access-Control-Allow-Origin", request.headers.get("Origin") or "*"), ("Content-Type", "text/html")]
    headers.append(("Access-Control-Allow-Credentials", "true"))
    if status in (429, 503):
        headers.append(("Retry-After", "1"))
    _answer(request, status, headers, b"<html><h1>made up by the proxy</h1></html>")


def _answer(request: BaseHTTPRequestHandler, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
    request.send_response(status)
    for name, value in headers:
        if name.lower() not in _HOP:
            request.send_header(name, value)
    request.send_header("Content-Length", str(len(content)))
    request.end_headers()
    request.wfile.write(content)
