"""Real receivers on loopback: each answers as a test says, and remembers what it was sent."""

import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import msgspec

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
# Of "localhost", signed by itself, for a hundred years: openssl req -x509 -newkey ec … -addext subjectAltName=DNS:localhost
CERTIFICATE = Path(__file__).parent / "tls" / "localhost.pem"
LOOPBACK = "127.0.0.0/8,::1/128"


def answer(status: int, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join((*lines, "", "")).encode() + body


class Posted(msgspec.Struct, frozen=True):
    """One request as it came; header names in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]


Behave = Callable[[socket.socket, Posted], bytes | None]
"""What to send back to a request; None once it has done so itself, after which the connection is closed."""


def hang(_connection: socket.socket, _posted: Posted) -> None:
    """Send nothing and read nothing until the other side goes away."""
    _connection.settimeout(60)
    while _connection.recv(1 << 16):
        pass


def reset(connection: socket.socket, _posted: Posted) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def trickle(connection: socket.socket, _posted: Posted) -> None:
    """A reply that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    gone = threading.Event()
    while not gone.wait(0.01):
        connection.sendall(b"1\r\nx\r\n")


def gigabyte(connection: socket.socket, _posted: Posted) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n")
    for _ in range(1024):
        connection.sendall(b"x" * (1 << 20))


def always(reply: bytes) -> Behave:
    return lambda _connection, _posted: reply


class Receiver:
    """Listens on a free port of 127.0.0.1 until `close`. Any thread may look at `posted`."""

    def __init__(self, behave: Behave | bytes = OK, *, tls: bool = False) -> None:
        self._tls: ssl.SSLContext | None = None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
        self.behave: Behave = always(behave) if isinstance(behave, bytes) else behave
        self.posted: list[Posted] = []
        self.connections = 0
        self.changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?to=me"

    @property
    def keys(self) -> Counter[str]:
        return Counter(each.key for each in list(self.posted))

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        """Until the condition holds; looked at after each request."""
        with self.changed:
            assert self.changed.wait_for(condition, timeout_s), f"{len(self.posted)} requests came: {self.keys}"

    def close(self) -> None:
        self._closing = True
        self._listener.close()
        for connection in list(self._open):
            connection.close()

    def __enter__(self) -> "Receiver":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while line := stream.readline():
                    headers: dict[str, str] = {}
                    while header := stream.readline().strip():
                        name, _, value = header.decode().partition(":")
                        headers[name.lower()] = value.strip()
                    posted = Posted(line.decode().strip(), headers, stream.read(int(headers["content-length"])))
                    with self.changed:
                        self.posted.append(posted)
                        self.changed.notify_all()
                    reply = self.behave(connection, posted)
                    if reply is None:
                        return
                    connection.sendall(reply)
        except (OSError, ValueError, KeyError):  # it was closed, or was sent what is no request
            pass
        finally:
            self._open.discard(connection)
