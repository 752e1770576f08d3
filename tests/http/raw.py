"""HTTP by hand, for what no client library would send."""

import json
import socket
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    status_code: int
    headers: Mapping[str, str]
    text: str

    def json(self) -> Any:
        return json.loads(self.text)


class Connection:
    """One connection to a server; every wait on it ends after `timeout_s`."""

    def __init__(self, url: str, timeout_s: float = 60, receives_bytes: int = 0) -> None:
        """receives_bytes: about as much is taken from the server before anybody asks for it; 0 leaves it to the system."""
        address = urlsplit(url)
        self._socket = socket.socket()
        self._socket.settimeout(timeout_s)
        if receives_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives_bytes)
        try:
            self._socket.connect((address.hostname, address.port))
        except OSError:
            self._socket.close()
            raise
        self._received = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end_sending(self) -> None:
        self._socket.shutdown(socket.SHUT_WR)

    def answer(self) -> Answer:
        """The next answer, also an interim one."""
        head = self.answer_to_head()
        return head._replace(text=self._exactly(int(head.headers.get("content-length", "0"))).decode())

    def answer_to_head(self) -> Answer:
        """The next answer, where nothing follows its headers whatever they say."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        status_line, *lines = head.split("\r\n")
        pairs = [line.partition(":") for line in lines]
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return Answer(int(status_line.split(" ")[1]), headers, "")

    def rest(self) -> bytes:
        """All that the server says until it hangs up."""
        try:
            while more := self._socket.recv(65536):
                self._received += more
        except ConnectionError:  # it hung up while there was more to read from us
            pass
        return self._received

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            self._receive()
        found, _, self._received = self._received.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive()
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _receive(self) -> None:
        more = self._socket.recv(65536)
        if not more:
            raise ConnectionError(f"the server hung up after {self._received!r}")
        self._received += more


def request(method: str, target: str | bytes, key: str | None, body: bytes = b"", headers: bytes = b"") -> bytes:
    """The bytes of a request; `headers` are whole lines with their line ends."""
    target = target.encode() if isinstance(target, str) else target
    lines = [b"%b %b HTTP/1.1\r\nHost: headrace\r\n" % (method.encode(), target), headers]
    if key is not None:
        lines.append(b"Authorization: Bearer %b\r\n" % key.encode())
    if body:
        lines.append(b"Content-Length: %d\r\n" % len(body))
    return b"".join((*lines, b"\r\n", body))


def ask(url: str, data: bytes) -> Answer:
    """Send bytes on a connection of their own and read one answer."""
    with Connection(url) as connection:
        connection.send(data)
        return connection.answer()
