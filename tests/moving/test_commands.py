"""`headrace export` and `headrace import`: every form of file, and what a SIGKILL of either side leaves to do."""

import csv
import gzip
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.cli.exporting import dated
from headrace.model.times import render_time
from tests.forks import run as run_forked
from tests.moving.test_export import exported, send
from tests.moving.test_import import without_identity
from tests.server import Client, Server

COMMAND = [sys.executable, "-m", "headrace.cli.main"]


def environ() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HEADRACE_")}


def run(server: Server, *words: str | Path, project: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    done = run_forked([*COMMAND, *map(str, words), "--data", str(server.data), "--project", project], environ())
    assert done.returncode == code, done.stderr
    return done


def begin(server: Server, *words: str | Path, project: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, *map(str, words), "--data", str(server.data), "--project", project],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environ(),
    )


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def line(**fields: Any) -> str:
    return json.dumps({"source": "flux", "name": "n", "timestamp": "2024-01-15T10:30:00Z"} | fields)


def values(client: Client) -> list[float]:
    return [row["value"] for row in exported(client)]


@pytest.fixture
def copy(server: Server, project: str) -> Iterator[Client]:
    """A client of the project `<project>-copy`."""
    with server.client(server.key(f"{project}-copy")) as client:
        yield client


@pytest.mark.parametrize("name", ["events.jsonl", "events.csv", "events.parquet", "events.arrow"])
def test_what_a_command_exports_another_imports(
    server: Server, client: Client, copy: Client, project: str, tmp_path: Path, name: str
) -> None:
    send(
        client,
        [{"name": "=n", "value": n, "tags": {"a": "+1"}, "properties": {"n": [n], "t": "x\r\ny"}} for n in range(30)],
    )
    said = run(server, "export", tmp_path / name, project=project)
    assert said.stdout.startswith("exported 30 events in ")
    said = run(server, "import", tmp_path / name, project=f"{project}-copy")
    assert json.loads(said.stdout) == {"imported": 30, "duplicates": 0, "erased": 0, "rejected": 0}
    assert without_identity(exported(copy)) == without_identity(exported(client))
    assert not [path for path in tmp_path.rglob("*") if "partial" in path.name or path.name.startswith(".")]


def test_a_command_exports_what_its_filters_match_and_to_stdout(server: Server, client: Client, project: str) -> None:
    send(client, [{"name": f"n{n % 2}", "value": n, "tags": {"plan": "pro"} if n < 4 else {}} for n in range(10)])
    said = run(server, "export", "--event", "n1", "--tag", "plan=pro", project=project)
    assert [json.loads(each)["value"] for each in said.stdout.splitlines()] == [1, 3]


def test_an_export_overwrites_nothing(server: Server, project: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    said = run(server, "export", tmp_path / "a", project=project, code=2)
    assert "exists already" in said.stderr
    said = run(server, "export", tmp_path, "--format", "parquet", project=project, code=2)
    assert "is not empty" in said.stderr
    assert (tmp_path / "a").read_text() == "mine"


def test_files_of_every_kind_are_read_and_bad_lines_are_named(
    server: Server, copy: Client, project: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text("\n".join([line(value=1), "", "{", line(value=2), line(name="")]))
    (folder / "b.json.gz").write_bytes(gzip.compress(line(value=3).encode()))
    with (folder / "c.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["source", "name", "timestamp", "value"])
        rows.writerow(["flux", "'=n", "2024-01-15", "4"])
        rows.writerow(["flux", "n"])
        rows.writerow(["flux", "n", "soon", "5"])
    with zipfile.ZipFile(folder / "d.zip", "w") as archive:
        archive.writestr("2025/x.json.gz", gzip.compress(f"{line(value=6)}\n!\n".encode()))
    table = pa.table(
        {
            "source": ["flux"],
            "name": ["n"],
            "timestamp": pa.array([1_705_314_600_000], pa.timestamp("ms")),
            "value": [7.0],
        }
    )
    pq.write_table(table, folder / "e.parquet")
    (folder / "f.jsonl.gz").write_bytes(
        gzip.compress(line(value=8).encode() + b"\n" + os.urandom(5000).hex().encode())[:-3000]
    )
    said = run(server, "import", folder, project=f"{project}-copy", code=1)
    assert sorted(values(copy)) == [1, 2, 3, 4, 6, 7, 8]
    assert [row["name"] for row in exported(copy) if row["value"] == 4] == ["=n"]
    told = [each.removeprefix(f"{folder}/").split(": ", 1) for each in said.stderr.splitlines()[:-1]]
    assert [place for place, _ in told] == [
        *("a.jsonl:3", "a.jsonl:5", "c.csv:3", "c.csv:4", "d.zip/2025/x.json.gz:2", "f.jsonl.gz:2")
    ]
    assert json.loads(said.stdout) == {"imported": 7, "duplicates": 0, "erased": 0, "rejected": 6}


def test_a_vendors_archive_is_imported(server: Server, copy: Client, project: str, tmp_path: Path) -> None:
    event = {"event_type": "e", "user_id": "user-1", "event_time": "2024-01-15 10:30:00.000000", "$insert_id": "i"}
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("17/17_2024-01-15_10#0.json.gz", gzip.compress(json.dumps(event).encode()))
    run(server, "import", tmp_path / "export.zip", "--from", "amplitude", project=f"{project}-copy")
    [row] = exported(copy)
    assert (row["source"], row["name"], row["user_id"], row["message_id"]) == ("amplitude", "e", "user-1", "i")


def test_posthogs_parquet_is_imported(server: Server, copy: Client, project: str, tmp_path: Path) -> None:
    moment = pa.array([1_705_314_600_125_000], pa.timestamp("us", "UTC"))
    table = pa.table(
        {
            "uuid": ["0190f3b4"],
            "event": ["e"],
            "distinct_id": ["u"],
            "properties": ['{"n": 1}'],
            "timestamp": moment,
            "elements_chain": [""],
        }
    )
    pq.write_table(table, tmp_path / "x.parquet.zst", compression="zstd")
    run(server, "import", tmp_path / "x.parquet.zst", "--from", "posthog", project=f"{project}-copy")
    [row] = exported(copy)
    assert (row["source"], row["timestamp"], row["properties"]) == ("posthog", "2024-01-15T10:30:00.125Z", {"n": 1})


def written(path: Path, count: int) -> Path:
    path.write_text("\n".join(line(value=n) for n in range(count)))
    return path


def wait_for_note(folder: Path) -> None:
    until = time.monotonic() + 60
    while not list(folder.glob("*.json")):
        assert time.monotonic() < until
        time.sleep(0.01)


def test_an_import_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """First the command is killed, then the server, and at last both may finish."""
    server = Server(tmp_path / "data", {"HEADRACE_ADMIN_KEY": "secret"}).start()
    path = written(tmp_path / "many.jsonl", 20_000)
    importing = begin(server, "import", path, "--rate", "4000", project="default")
    wait_for_note(server.data / "imports")
    kill(importing)
    with server.client("secret") as client:
        some = len(exported(client))
    assert 0 < some < 20_000
    importing = begin(server, "import", path, "--rate", "4000", project="default")
    [note] = (server.data / "imports").glob("*.json")
    noted, until = note.read_bytes(), time.monotonic() + 60
    while note.read_bytes() == noted:
        assert time.monotonic() < until
        time.sleep(0.01)
    server.kill()
    assert importing.wait(60) == 2
    importing.communicate()
    server.start()
    said = json.loads(run(server, "import", path, project="default").stdout)
    assert said["imported"] + said["duplicates"] < 20_000  # it did not begin anew
    with server.client("secret") as client:
        assert values(client) == [*range(20_000)]
    assert not list((server.data / "imports").iterdir())
    server.stop()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with 120,000 events, which may be killed."""
    folder = tmp_path_factory.mktemp("filled")
    server = Server(folder / "data", {"HEADRACE_ADMIN_KEY": "secret"}).start()
    run(server, "import", written(folder / "many.jsonl", 120_000), project="default")
    yield server
    server.stop()


@pytest.mark.parametrize("name", ["events.csv", "events.parquet"])
def test_an_export_that_is_killed_goes_on_where_it_was(filled: Server, tmp_path: Path, name: str) -> None:
    server, target = filled, tmp_path / name
    exporting = begin(server, "export", target, "--rate", "20000", project="default")
    note = target / ".headrace-export.json" if name.endswith("parquet") else tmp_path / f"{name}.partial.json"
    until = time.monotonic() + 60
    while not (note.exists() and b'"after":"evt_' in note.read_bytes()):
        assert time.monotonic() < until
        time.sleep(0.01)
    kill(exporting)
    server.kill()  # what a command finds in the middle of an export is not what it is about
    server.start()
    if name.endswith("csv"):
        partial = tmp_path / f"{name}.partial"
        partial.write_bytes(partial.read_bytes() + b"evt_half of a li")
    said = run(server, "export", target, project="default").stdout
    assert int(said.split()[1]) < 120_000
    where = f"{target}/*.parquet" if name.endswith("parquet") else target
    [row] = duckdb.sql(
        f"SELECT count(*), count(DISTINCT id), sum(value), count(DISTINCT value) FROM '{where}'"
    ).fetchall()
    assert row == (120_000, 120_000, sum(range(120_000)), 120_000)


def test_an_export_of_other_filters_does_not_go_on_with_it(server: Server, project: str, tmp_path: Path) -> None:
    (tmp_path / "a.partial").write_text("")
    (tmp_path / "a.partial.json").write_text('{"query":"other","total":1,"after":"evt_"}')
    said = run(server, "export", tmp_path / "a", project=project, code=2)
    assert "belongs to another export" in said.stderr


def test_a_span_means_the_same_moment_on_every_page_of_an_export(
    server: Server, client: Client, project: str, tmp_path: Path
) -> None:
    now_ms = 1_700_000_000_000
    assert dated([("since", "7d"), ("until", "1h"), ("from", "7d"), ("name", "7d")], now_ms) == [
        ("since", render_time(now_ms - 7 * 86_400_000)),
        ("until", render_time(now_ms - 3_600_000)),
        ("from", "7d"),
        ("name", "7d"),
    ]
    send(client, [{"name": "old", "timestamp": "2024-01-15T10:30:00Z"}, {"name": "new"}])
    asks = "format=jsonl&since=2024-01-01&limit=50000"
    noted = {"query": f"{project}/live?format=jsonl&since=1h&limit=50000", "total": 2, "asks": asks}
    (tmp_path / "a.partial.json").write_text(json.dumps(noted))
    run(server, "export", tmp_path / "a", "--since", "1h", project=project)
    assert [json.loads(each)["name"] for each in (tmp_path / "a").read_text().splitlines()] == ["old", "new"]


def test_an_export_that_looks_compressed_and_would_not_be_is_refused(
    server: Server, project: str, tmp_path: Path
) -> None:
    said = run(server, "export", tmp_path / "events.csv.gz", "--format", "csv", project=project, code=2).stderr
    assert "| gzip > events.csv.gz" in said
    assert not list(tmp_path.iterdir())


def test_an_export_whose_beginning_was_removed_does_not_go_on_after_it(
    server: Server, client: Client, project: str, tmp_path: Path
) -> None:
    send(client, [{"name": "a"}, {"name": "b"}])
    after = exported(client)[0]["id"]
    query = f"{project}/live?format=jsonl&limit=50000"
    noted = {"query": query, "total": 2, "events": 1, "written": 900, "after": after}
    (tmp_path / "a.jsonl.partial.json").write_text(json.dumps(noted))
    run(server, "export", tmp_path / "a.jsonl", project=project)
    assert [json.loads(each)["name"] for each in (tmp_path / "a.jsonl").read_text().splitlines()] == ["a", "b"]
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]

    (tmp_path / "b").mkdir()
    noted |= {"query": query.replace("jsonl", "arrow"), "written": 1}
    (tmp_path / "b" / ".headrace-export.json").write_text(json.dumps(noted))
    said = run(server, "export", tmp_path / "b", "--format", "arrow", project=project, code=2).stderr
    assert "part-000000.arrow is missing" in said
