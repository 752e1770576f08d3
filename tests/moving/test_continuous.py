"""The continuous export: each event in one file, whatever ends a round, and readable by DuckDB, pyarrow and over S3."""

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import pyarrow.dataset as ds
import pytest

from headrace.assembly.export_targets import Bucket, Folder
from headrace.model.entries import Record
from headrace.model.event import Event, Tenant, encode, first_position
from headrace.model.exports import Mark
from headrace.store.clickhouse import ClickHouseStore
from headrace.upkeep.continuous import ContinuousExport
from tests.engine import dsn
from tests.moving.test_backup import ADMIN, send
from tests.server import Server
from tests.waiting import until

DAY_MS = 86_400_000
BEGAN_MS = 20_000 * DAY_MS
_numbers = itertools.count()


def fresh_tenants() -> tuple[Tenant, Tenant]:
    """Tenants that no other test knows: a process has one store."""
    number = next(_numbers)
    return Tenant(f"exporting-{number}", "live"), Tenant(f"a/b=c-{number}", "test")


class MemoryMarks:
    """Fits the ExportMarks port."""

    def __init__(self, tenants: Sequence[Tenant]) -> None:
        self.marks: dict[Tenant, Mark] = {}
        self._tenants = tenants

    def tenants(self) -> Sequence[Tenant]:
        return self._tenants

    def mark(self, tenant: Tenant) -> Mark:
        return self.marks.get(tenant, Mark())

    def intend(self, tenant: Tenant, upto: int) -> None:
        self.marks[tenant] = Mark(self.mark(tenant).done, upto)

    def done(self, tenant: Tenant, upto: int) -> None:
        self.marks[tenant] = Mark(upto)


class Died(BaseException):
    """The process has ended here."""


class Shop:
    """A store that gets some more events whenever it is asked to."""

    def __init__(self, store: ClickHouseStore) -> None:
        self.store = store
        self.tenants = fresh_tenants()
        self.count = 0
        self.last = 0

    def grow(self, count: int, day: int) -> None:
        records: list[Record] = []
        for number in range(self.count, self.count + count):
            tenant = self.tenants[number % 2]
            self.last = max(self.last + 64, first_position(BEGAN_MS + day * DAY_MS))
            event = Event(tenant.project, tenant.mode, "flux", "n", BEGAN_MS, value=float(number))
            records.append(Record(self.last, number, encode(event)))
        self.count += count
        self.store.insert(records)


@pytest.fixture
def shop() -> Iterator[Shop]:
    store = ClickHouseStore(dsn())
    yield Shop(store)
    store.close()


def assert_each_once(folder: Path | str, count: int, tenants: Sequence[Tenant]) -> None:
    found = duckdb.sql(
        f"SELECT project, mode, value FROM read_parquet('{folder}/*/*/*/*.parquet', hive_partitioning = true) ORDER BY value"
    ).fetchall()
    assert [(unquote(project), mode, value) for project, mode, value in found] == [
        (tenants[number % 2].project, tenants[number % 2].mode, float(number)) for number in range(count)
    ]


@pytest.mark.parametrize("dies_after", [None, "intend", "write", "done"])
def test_each_event_is_in_one_file_whatever_step_the_process_dies_after(
    shop: Shop, tmp_path: Path, dies_after: str | None
) -> None:
    marks, folder = MemoryMarks(shop.tenants), tmp_path / "out"

    def export(on_step: Callable[[str], None] = lambda _step: None) -> None:
        ContinuousExport(
            shop.store, marks, Folder(folder), every_s=1, visible=lambda: shop.last, on_step=on_step
        ).round()

    def die(step: str) -> None:
        if step == dies_after:
            raise Died

    for day, count in enumerate((5, 4, 7)):
        shop.grow(count, day)
        if dies_after:
            with pytest.raises(Died):
                export(die)
            shop.grow(3, day)  # more arrive before the next start
        export()
    assert_each_once(folder, shop.count, shop.tenants)
    dates = {path.parent.name for path in folder.rglob("*.parquet")}
    assert dates == {"date=2024-10-04", "date=2024-10-05", "date=2024-10-06"}
    table = ds.dataset(folder, format="parquet", partitioning="hive").to_table()
    assert table.num_rows == shop.count
    before = sorted(folder.rglob("*"))
    export()  # nothing new: no new file
    assert sorted(folder.rglob("*")) == before


def test_what_cannot_be_written_for_one_project_keeps_no_other_from_its_turn(shop: Shop, tmp_path: Path) -> None:
    first, second = shop.tenants
    (tmp_path / f"project={first.project}").write_text("a file, where a folder has to be")
    marks = MemoryMarks(shop.tenants)
    shop.grow(4, 0)
    export = ContinuousExport(shop.store, marks, Folder(tmp_path), every_s=1, visible=lambda: shop.last)
    with pytest.raises(OSError, match="project="):
        export.round()
    assert marks.mark(second) == Mark(shop.last)
    assert len([*tmp_path.rglob("*.parquet")]) == 1
    (tmp_path / f"project={first.project}").unlink()
    export.round()
    assert_each_once(tmp_path, 4, shop.tenants)


def test_half_a_file_that_a_killed_server_has_left_goes_when_the_file_is_written_again(tmp_path: Path) -> None:
    for name in (".b.parquet.0a1b2c", ".bb.parquet.0a1b2c"):
        (tmp_path / name).write_bytes(b"half")
    Folder(tmp_path).put("b.parquet", lambda write: write(b"whole"))
    assert sorted(path.name for path in tmp_path.iterdir()) == [".bb.parquet.0a1b2c", "b.parquet"]


def test_a_file_that_could_not_be_written_leaves_none(tmp_path: Path) -> None:
    def fail(write: Callable[[bytes], object]) -> None:
        write(b"half")
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        Folder(tmp_path).put("a/b.parquet", fail)
    assert [path.name for path in tmp_path.rglob("*")] == ["a"]


def _of_chunks(body: bytes) -> bytes:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming-trailers.html"""
    whole = b""
    while body:
        head, _, body = body.partition(b"\r\n")
        size = int(head.partition(b";")[0], 16)
        if not size:
            break
        whole, body = whole + body[:size], body[size + 2 :]
    return whole


class S3(BaseHTTPRequestHandler):
    """As much of S3 as an upload needs: https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html"""

    objects: dict[str, bytes]
    uploads: dict[str, dict[int, bytes]]

    def log_message(self, *args: Any) -> None:
        """Says nothing."""

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return _of_chunks(body) if self.headers.get("Content-Encoding") == "aws-chunked" else body

    def _answer(self, body: bytes = b"", status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), "ETag": '"e"', **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_PUT(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if "uploadId" in query:
            self.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = self._body()
        else:
            self.objects[unquote(url.path)] = self._body()
        self._answer()

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query, keep_blank_values=True)
        self._body()
        if "uploads" in query:
            name = str(len(self.uploads))
            self.uploads[name] = {}
            answer = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
        else:
            parts = self.uploads[query["uploadId"][0]]
            self.objects[unquote(url.path)] = b"".join(parts[number] for number in sorted(parts))
            answer = "<CompleteMultipartUploadResult><ETag>e</ETag></CompleteMultipartUploadResult>"
        self._answer(answer.encode(), **{"Content-Type": "application/xml"})

    def do_HEAD(self) -> None:
        self._answer(status=200 if self.path.count("/") == 1 else 404)

    def do_GET(self) -> None:
        self._answer(status=404)


def test_files_go_to_a_bucket(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    handler = type("OneS3", (S3,), {"objects": {}, "uploads": {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        where = f"s3://events/raw?region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{server.server_port}"
        shop.grow(6, 0)
        ContinuousExport(
            shop.store, MemoryMarks(shop.tenants), Bucket(where), every_s=1, visible=lambda: shop.last
        ).round()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    for path, content in handler.objects.items():
        assert re.fullmatch(
            r"/events/raw/project=[^/]+/mode=(live|test)/date=2024-10-04/[0-9a-f]{16}-[0-9a-f]{16}\.parquet", path
        )
        target = tmp_path / "got" / path.removeprefix("/events/raw/")
        target.parent.mkdir(parents=True)
        target.write_bytes(content)
    assert_each_once(tmp_path / "got", 6, shop.tenants)


def test_a_server_exports_continuously_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    settings = ADMIN | {"HEADRACE_EXPORT_TO": str(folder), "HEADRACE_EXPORT_EVERY_S": "0.1"}
    server = Server(tmp_path / "data", settings).start()
    sent = 0

    def wait_for(count: int) -> list[float]:
        until = time.monotonic() + 60
        while True:
            if list(folder.rglob("*.parquet")):
                found = duckdb.sql(f"SELECT value FROM '{folder}/*/*/*/*.parquet' ORDER BY value").fetchall()
                if len(found) >= count:
                    return [value for (value,) in found]
            assert time.monotonic() < until
            time.sleep(0.05)

    for _ in range(3):
        with server.client("secret") as client:
            for _ in range(5):
                send(client, sent)
                sent += 50
        server.kill()
        server.start()
    assert wait_for(sent) == [*range(sent)]
    with server.client("secret") as client:

        def is_failing() -> bool:
            [shown] = re.findall(r"^headrace_export_failing (\S+)$", client.get("/metrics").text, re.MULTILINE)
            return shown == "1.0"

        assert not is_failing()
        folder.rename(tmp_path / "elsewhere")
        folder.write_text("a file in its place")
        send(client, sent)
        until(is_failing, bool)
        folder.unlink()
        (tmp_path / "elsewhere").rename(folder)
        sent += 50
        assert wait_for(sent) == [*range(sent)]
        until(is_failing, lambda failing: not failing)
    assert server.stop() == 0
