"""A small HTTP face over the embedded ClickHouse: what clickhouse-connect says to a real server, answered by chDB.

It is no ClickHouse server: one engine, no users, nothing compressed, and errors before output alone. Each database is a store. An
insert reads its rows from a pipe, so it runs as long as they take to arrive.
"""

import itertools
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import clickhouse_connect
import pytest
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from headrace.store.clickhouse import ClickHouseStore
from headrace.store.engine import ERROR_CODE
from tests.engine import dsn

_numbers = itertools.count()
_OURS = {
    "query",
    "query_id",
    "compress",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "send_progress_in_http_headers",
    "database",
    "session_id",
    "wait_end_of_query",
    "client_protocol_version",
    "buffer_size",
}


class Face:
    """Listens until `close`.

    inserts: how many came. Called for each: `amid_insert` once it runs, which may hold it up; `after_insert` once it has stored
    its rows, which may raise ConnectionError: then its reply is lost. broken: whether every connection is closed without a reply.
    full: whether inserts fail as they do on a full disk.
    """

    def __init__(self, port: int = 0) -> None:
        """port: 0 for a free one."""
        self.inserts = 0
        self.broken = self.full = False
        self.amid_insert: Callable[[], None] = _nothing
        self.after_insert: Callable[[], None] = _nothing
        self._idle: dict[tuple[object, ...], list[Client]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # a client that was killed
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def url(self) -> str:
        """A new database's."""
        name = f"face{os.getpid()}_{next(_numbers)}"
        client = clickhouse_connect.get_client(dsn=dsn())
        client.command(f"CREATE DATABASE {name}")
        client.close()
        return f"http://127.0.0.1:{self.port}/{name}"

    @contextmanager
    def lend(self, database: str, settings: dict[str, str]) -> Iterator[Client]:
        """A client with these settings, dropped if it raises."""
        key = (database, *sorted(settings.items()))
        with self._lock:
            idle = self._idle.setdefault(key, [])
            client = idle.pop() if idle else None
        if client is None:
            client = clickhouse_connect.get_client(dsn=dsn(), database=database)
            for name, value in settings.items():
                client.command(f"SET {name} = '{value}'")
        try:
            yield client
        except BaseException:
            client.close()
            raise
        with self._lock:
            idle.append(client)

    def ask(self, client: Client, sql: str, params: dict[str, Any]) -> bytes:
        """Run it as it is: over HTTP, the client itself says in which format it wants the answer."""
        backend: Any = client._backend  # type: ignore[attr-defined]  # pyright: ignore
        return bytes(backend._run(sql, "TabSeparated", params=params, database=client.database).bytes())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        for client in itertools.chain(*self._idle.values()):
            client.close()


def _nothing() -> None:
    pass


def _handler(face: Face) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.do_POST()

        def do_POST(self) -> None:
            body = self._body()
            asked = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
            if self.headers.get_content_type() == "multipart/form-data":
                form = message_from_bytes(b"Content-Type: %b\r\n\r\n%b" % (self.headers["Content-Type"].encode(), body))
                for part in form.get_payload():
                    asked[part.get_param("name", header="content-disposition")] = part.get_payload(decode=True).decode()
                body = b""
            settings = {name: value for name, value in asked.items() if name not in _OURS and name[:6] != "param_"}
            params = {name[6:]: value for name, value in asked.items() if name[:6] == "param_"}
            try:
                answer = self._run(asked, settings, params, body)
            except ConnectionError:
                self.close_connection = True
                return
            except ClickHouseError as error:
                found = ERROR_CODE.search(str(error))
                self._reply(500, str(error).encode(), {"X-ClickHouse-Exception-Code": found[1] if found else "0"})
            else:
                self._reply(200, answer, {})

        def _run(self, asked: dict[str, str], settings: dict[str, str], params: dict[str, Any], body: bytes) -> bytes:
            if face.broken:
                raise ConnectionError
            with face.lend(asked.get("database", "default"), settings) as client:
                query = asked.get("query", "")
                if not query:
                    query, _, rows = body.decode().partition("\n")
                    if not query.startswith("INSERT INTO") or "fenced" not in query:
                        return face.ask(client, body.decode(), params)
                    body = rows.encode()  # the client sends events so if they are bytes
                if not body:
                    return face.ask(client, query, params)
                face.inserts += 1
                if face.full:
                    raise ClickHouseError("Code: 243. DB::Exception: Cannot reserve 1.00 MiB, not enough space.")
                into, _, fmt = query.rpartition("FORMAT ")
                with tempfile.TemporaryDirectory() as folder:
                    pipe = Path(folder) / "rows"
                    os.mkfifo(pipe)
                    writer = threading.Thread(target=_feed, args=(pipe, body, face.amid_insert), daemon=True)
                    writer.start()
                    try:
                        face.ask(client, f"{into} FROM INFILE '{pipe}' FORMAT {fmt}", params)
                    finally:
                        _free(pipe)
                        writer.join(60)
            face.after_insert()
            return b""

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def _reply(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body)), "X-ClickHouse-Timezone": "UTC"}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _feed(pipe: Path, rows: bytes, amid: Callable[[], None]) -> None:
    with suppress(BrokenPipeError), pipe.open("wb", buffering=0) as file:
        amid()
        file.write(rows)


def _free(pipe: Path) -> None:
    """If the insert failed before it opened the pipe, its writer still waits for a reader."""
    os.close(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK))


@pytest.fixture(scope="session")
def face() -> Iterator[Face]:
    face = Face()
    yield face
    face.close()


@pytest.fixture(scope="session")
def over_http(face: Face) -> Iterator[ClickHouseStore]:
    """A store of its own over HTTP, as `clickhouse` is one in this process."""
    store = ClickHouseStore(face.url(), hot_tags=("plan", "é"), raise_fence=lambda: 1)
    store.settle()
    yield store
    store.close()
