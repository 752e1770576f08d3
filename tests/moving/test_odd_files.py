"""What `headrace import` and `headrace export` say of files that are not as they should be: never a traceback, never half a file."""

import errno
import fcntl
import gzip
import json
import os
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.cli import local
from headrace.cli.moved_files import files_of, records_in
from headrace.model.errors import SettingsError
from headrace.model.settings import Settings
from tests.moving.test_commands import COMMAND, environ, line, run
from tests.server import Server


def problems(path: Path) -> list[str]:
    return [record.problem for record in records_in(path) if record.problem]


def encrypted(path: Path) -> None:
    """An archive whose first file is marked as encrypted: bit 0 of its flags, in both of its heads."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.jsonl", line())
        archive.writestr("b.jsonl", line())
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] |= 1
    path.write_bytes(content)


def of_another_method(path: Path) -> None:
    """An archive whose first file is compressed in a way that nobody knows."""
    encrypted(path)
    content = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(mark) + at] &= 0xFE
        content[content.index(mark) + at + 2] = 96
    path.write_bytes(content)


@pytest.mark.parametrize("make", [encrypted, of_another_method])
def test_a_file_of_an_archive_that_cannot_be_read_costs_no_other(tmp_path: Path, make: Callable[[Path], None]) -> None:
    path = tmp_path / "export.zip"
    make(path)
    records = list(records_in(path))
    assert [record.place for record in records] == [f"{path}/a.jsonl", f"{path}/b.jsonl:1"]
    assert "cannot be read" in records[0].problem
    assert not records[1].problem


def test_an_archive_that_is_cut_off_or_torn_is_named(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jsonl", "\n".join(line(value=n) for n in range(5000)))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] + b"\xff" * 40 + whole[len(whole) // 2 + 40 :])
    assert any("cannot be decompressed" in each for each in problems(path))
    end = whole.index(b"PK\x01\x02")
    path.write_bytes(whole[:end] + b"\0\0\0\0" + whole[end + 4 :])
    assert any("cannot be read" in each for each in problems(path))


def zipped(path: Path, inner: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(inner, inner.name)


def gzipped(path: Path, inner: Path) -> None:
    path.write_bytes(gzip.compress(inner.read_bytes()))


def as_parquet(path: Path, table: pa.Table) -> None:
    pq.write_table(table, path)


def as_stream(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def as_arrow_file(path: Path, table: pa.Table) -> None:
    with path.open("wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)


@pytest.mark.parametrize("write", [as_parquet, as_stream, as_arrow_file])
@pytest.mark.parametrize("pack", [zipped, gzipped, None])
def test_columns_are_read_wherever_they_are_and_whatever_they_are_called(
    tmp_path: Path, write: Callable[[Path, pa.Table], None], pack: Callable[[Path, Path], None] | None
) -> None:
    inner, path = tmp_path / "events", tmp_path / "packed"
    write(inner, pa.table({"name": ["n", "m"]}))
    if pack is not None:
        pack(path, inner)
    records = list(records_in(path if pack is not None else inner))
    assert [record.problem for record in records] == ["", ""]
    assert [json.loads(record.line) for record in records] == [{"name": "n"}, {"name": "m"}]


def test_what_is_packed_in_itself_ends(tmp_path: Path) -> None:
    path, inner = tmp_path / "a.zip", tmp_path / "a.jsonl"
    inner.write_text(line())
    for depth in range(5):
        zipped(path, inner)
        said = problems(path)
        assert bool(said) == (depth > 2), said
        inner = path.rename(tmp_path / f"{depth}.zip")
    assert "packed more than 3 times" in said[0]


def test_each_file_of_an_archive_may_begin_with_a_mark_of_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("a.jsonl", "b.jsonl"):
            archive.writestr(name, b"\xef\xbb\xbf" + line().encode() + b"\r\n\r\n" + line().encode())
        archive.writestr("empty.jsonl", b"\xef\xbb\xbf")
    assert [record.line for record in records_in(path)] == [line().encode()] * 4


def test_nanoseconds_of_parquet_are_cut_to_what_an_event_has(tmp_path: Path) -> None:
    path = tmp_path / "pandas.parquet"
    at = pa.array([1_700_000_000_123_456_789, None], pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table({"name": ["n", "m"], "timestamp": at}), path)
    records = list(records_in(path))
    assert [record.problem for record in records] == ["", ""]
    assert json.loads(records[0].line) == {"name": "n", "timestamp": "2023-11-14T22:13:20.123Z"}
    assert json.loads(records[1].line) == {"name": "m"}


def test_a_row_with_a_value_that_is_no_json_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "odd.parquet"
    odd = pa.array([[((1, 2), "x")], None], pa.map_(pa.list_(pa.int64()), pa.string()))
    pq.write_table(pa.table({"name": ["n", "m"], "tags": odd}), path)
    records = list(records_in(path))
    assert [bool(record.problem) for record in records] == [True, False]


def test_hidden_files_of_a_folder_are_passed_over_and_named_ones_are_read(tmp_path: Path) -> None:
    for name in ("a.jsonl", ".part-000001.parquet.partial", ".git/b.jsonl", "c/d.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(line())
    assert [str(each.relative_to(tmp_path)) for each in files_of([tmp_path])] == ["a.jsonl", "c/d.jsonl"]
    assert files_of([tmp_path / ".git"]) == [tmp_path / ".git" / "b.jsonl"]
    assert len(files_of([tmp_path / ".part-000001.parquet.partial"])) == 1


def test_a_line_that_never_ends_is_one_bad_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.cli.moved_files._MAX_LINE_BYTES", 1000)
    path = tmp_path / "one.jsonl.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"x" * 5000 + b"\n" + line().encode())
    assert [bool(record.problem) for record in records_in(path)] == [True, False]


def test_where_an_export_cannot_be_written_is_said(server: Server, project: str, tmp_path: Path) -> None:
    said = run(server, "export", tmp_path / "missing" / "a.jsonl", project=project, code=2).stderr
    assert said.count("\n") == 1
    assert "cannot be written: No such file or directory" in said
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "export", "--format", "csv", "--data", str(server.data), "--project", project],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environ(),
            check=False,
        )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert os.strerror(errno.ENOSPC) in done.stderr


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_two_exports_to_one_target_do_not_mix(server: Server, project: str, tmp_path: Path, name: str) -> None:
    held = tmp_path / name if name == "a.parquet" else tmp_path / f"{name}.partial"
    if name == "a.parquet":
        held.mkdir()
    else:
        held.write_text("what the other has written")
    descriptor = os.open(held, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        said = run(server, "export", tmp_path / name, project=project, code=2).stderr
    finally:
        os.close(descriptor)
    assert "Another export to" in said
    if held.is_file():
        assert held.read_text() == "what the other has written"


@pytest.mark.parametrize("words", [("export", "x"), ("import", "x")])
def test_a_rate_at_which_nothing_would_be_done_is_refused(server: Server, project: str, words: tuple[str, str]) -> None:
    assert "--rate must be 1 or more" in run(server, *words, "--rate", "0", project=project, code=2).stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
@pytest.mark.parametrize(
    "ask",
    [
        local.check,
        lambda settings: local.opened(settings, "GET", "/api/v1/export", None, {}),
        lambda settings: local.backup(settings, Path("/nonexistent"), None),
    ],
)
def test_a_command_of_another_user_says_who_may_run_it(server: Server, ask: Callable[[Settings], object]) -> None:
    os.seteuid(65534)
    try:
        with pytest.raises(SettingsError, match="as the user that runs the server"):
            ask(Settings(data=server.data))
    finally:
        os.seteuid(0)
