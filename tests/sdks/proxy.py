"""A proxy on the loopback that fails on purpose, as what stands before a server in production does."""

import http.client
import threading
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Fault = Callable[["Proxy", BaseHTTPRequestHandler, bytes], None]


def fail(handler: BaseHTTPRequestHandler, status: int, **headers: str) -> None:
    """An answer in the words of no dialect, as a load balancer's are."""
    body = b"<html><h1>made up by the proxy</h1></html>"
    handler.send_response(status)
    for name, value in (headers | {"Content-Type": "text/html", "Content-Length": str(len(body))}).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def error_500(_proxy: "Proxy", handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    """The request never reaches the server."""
    fail(handler, 500)


def too_many(_proxy: "Proxy", handler: BaseHTTPRequestHandler, _body: bytes) -> None:
    fail(handler, 429, Retry_After="1")


def reply_lost(proxy: "Proxy", handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """The server has stored the events and said so; the sender is told 502."""
    status, _, _ = proxy.ask(handler, body)
    assert status < 300, status
    fail(handler, 502)


class Proxy:
    """`url()` says where the server is. Each request takes the next of `faults`; once they are used up, all pass."""

    def __init__(self, url: Callable[[], str], faults: Sequence[Fault] = ()) -> None:
        self._url = url
        self._faults = list(faults)
        self._lock = threading.Lock()
        self.requests = 0

        handle = self._handle

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                handle(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ask(
        self, handler: BaseHTTPRequestHandler, body: bytes, sent: Callable[[], None] = lambda: None
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """The server's own answer; `sent` is called when the request has gone out and before the answer is waited for.

        Raises OSError, http.client.HTTPException when the server is gone.
        """
        address = urlsplit(self._url())
        connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=60)
        try:
            connection.request("POST", handler.path, body, dict(handler.headers))
            sent()
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()

    def _handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        with self._lock:
            self.requests += 1
            fault = self._faults.pop(0) if self._faults else None
        (fault or let_through)(self, handler, body)


def let_through(proxy: Proxy, handler: BaseHTTPRequestHandler, body: bytes) -> None:
    """What happens once all faults are used up. A server that is gone is a 502."""
    try:
        status, headers, answer = proxy.ask(handler, body)
    except (OSError, http.client.HTTPException):
        fail(handler, 502)
        return
    handler.send_response(status)
    for name, value in headers:
        if name.lower() not in ("date", "server", "connection"):
            handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(answer)
