"""Exports over HTTP, in every format: all that matches, in the order of receipt, in parts, and never another tenant's."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import duckdb
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.control.api_keys import Keys
from headrace.dialects.native_exports import COLUMNS, unguarded
from tests.server import Client, Server
from tests.waiting import until

EXPORT, IMPORT = "/api/v1/export", "/api/v1/import"
FORMATS = ("jsonl", "csv", "parquet", "arrow")


def send(client: Client, events: Sequence[dict[str, Any]]) -> None:
    for start in range(0, len(events), 500):
        assert client.post("/api/v1/events/batch", json=events[start : start + 500]).status_code == 201


def exported(client: Client, **query: Any) -> list[dict[str, Any]]:
    return rows_of(client.get(EXPORT, params=query))


def rows_of(reply: httpx.Response) -> list[dict[str, Any]]:
    """The rows in a reply of any format, with objects decoded and times as text."""
    assert reply.status_code == 200, reply.text
    kind = reply.headers["content-type"]
    if kind == "application/x-ndjson":
        return [json.loads(line) for line in reply.content.splitlines()]
    if kind.startswith("text/csv"):
        head, *rows = csv.reader(io.StringIO(reply.text, newline=""))
        return [_of_csv(dict(zip(head, row, strict=True))) for row in rows]
    if kind.endswith("parquet"):
        table = pq.read_table(io.BytesIO(reply.content))
    else:
        table = pa.ipc.open_stream(reply.content).read_all()
    assert tuple(table.column_names) == COLUMNS
    return [_of_table(row) for row in table.to_pylist()]


def _of_csv(row: dict[str, str]) -> dict[str, Any]:
    objects = ("properties", "context", "traits", "tags", "value")
    return {
        name: None if not cell else json.loads(cell) if name in objects else unguarded(cell)
        for name, cell in row.items()
    }


def _of_table(row: dict[str, Any]) -> dict[str, Any]:
    for name in ("timestamp", "received_at", "sent_at"):
        if row[name] is not None:
            row[name] = row[name].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    for name in ("properties", "context", "traits"):
        row[name] = None if row[name] is None else json.loads(row[name])
    return row | {"tags": dict(row["tags"])}


MIXED: list[dict[str, Any]] = [
    {"name": "order", "user_id": "=1+1", "value": -1.5, "properties": {"plan": "pro", "n": [1, {"ü": None}]}},
    {"name": "order", "timestamp": "2024-01-15T10:30:00.125Z", "tags": {"plan": "free"}, "idempotency_key": "k"},
    {"name": "@view", "timestamp": "2031-01-15T10:30:00Z", "session_id": "s", "environment": "e", "host": "h"},
]


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_has_every_event_in_the_order_of_receipt(client: Client, form: str) -> None:
    send(client, MIXED)
    rows = exported(client, format=form)
    assert [row["name"] for row in rows] == ["order", "order", "@view"]
    assert rows == exported(client)
    assert [row["user_id"] for row in rows] == ["=1+1", None, None]
    assert rows[0]["properties"] == MIXED[0]["properties"]
    assert (rows[0]["value"], rows[1]["tags"], rows[1]["message_id"]) == (-1.5, {"plan": "free"}, "k")
    assert rows[1]["timestamp"] == "2024-01-15T10:30:00.125Z"
    for row in rows:
        assert client.get(f"/api/v1/events/{row['id']}").json()["data"]["name"] == row["name"]


@pytest.mark.parametrize("form", FORMATS)
def test_an_export_of_nothing_is_an_empty_file_of_its_format(client: Client, form: str) -> None:
    reply = client.get(EXPORT, params={"format": form})
    assert rows_of(reply) == []
    assert reply.headers["headrace-events"] == "0"


FILTERS: list[dict[str, Any]] = [
    {"name": "order"},
    {"name": "o*"},
    {"user_id": "u1"},
    {"tags[plan]": "pro"},
    {"properties[n]": "3"},
    {"source": "flux"},
    {"source": "hogsend"},
    {"from": "2024-01-02", "to": "2024-01-03"},
    {"session_id": "s", "tags[plan]": "pro", "name": "order"},
]


@pytest.mark.parametrize("query", FILTERS, ids=str)
def test_an_export_has_what_a_list_with_the_same_filters_has(client: Client, query: dict[str, Any]) -> None:
    events = [
        {
            "name": ("order", "open", "view")[n % 3],
            "user_id": f"u{n % 2}",
            "timestamp": f"2024-01-0{1 + n % 5}T00:00:00Z",
            "session_id": "s" if n % 2 else None,
            "tags": {"plan": "pro"} if n % 4 == 0 else {},
            "properties": {"n": n, "plan": "pro"} if n % 4 == 1 else {"n": n},
        }
        for n in range(60)
    ]
    send(client, events)
    if query.get("source"):
        expected = events if query["source"] == "flux" else []
        assert len(exported(client, **query)) == len(expected)
        return
    listed = client.get("/api/v1/events", params=query | {"limit": 1000}).json()["data"]
    assert listed
    for form in FORMATS:
        rows = exported(client, **query, format=form)
        assert sorted(row["id"] for row in rows) == sorted(row["id"] for row in listed)
        assert rows == sorted(rows, key=lambda row: row["id"])


@pytest.mark.parametrize("form", FORMATS)
def test_pages_of_an_export_join_to_the_whole(client: Client, form: str) -> None:
    send(client, [{"name": "n", "value": n} for n in range(50)])
    whole = exported(client)
    rows: list[dict[str, Any]] = []
    after = ""
    while True:
        reply = client.get(EXPORT, params={"format": form, "limit": 7} | ({"after": after} if after else {}))
        rows += rows_of(reply)
        after = reply.headers.get("headrace-next", "")
        if not after:
            break
        assert reply.headers["headrace-events"] == "7"
        assert rows[-1]["id"] == after
    assert rows == whole


def test_an_export_in_many_pieces_is_whole(client: Client) -> None:
    """Some 12 MB, which are read a few at a time; the first events are large, and the last small."""
    send(client, [{"name": "large", "value": n, "properties": {"text": "x" * 100_000}} for n in range(100)])
    send(client, [{"name": "small", "value": n} for n in range(3000)])
    for form in FORMATS:
        reply = client.get(EXPORT, params={"format": form})
        assert [row["value"] for row in rows_of(reply)] == [*range(100), *range(3000)]
        assert reply.headers["headrace-events"] == "3100"


def test_duckdb_reads_a_parquet_export(client: Client, tmp_path: Any) -> None:
    send(client, [{"name": "n", "value": n, "tags": {"plan": "pro"}, "properties": {"n": n}} for n in range(10)])
    path = tmp_path / "events.parquet"
    path.write_bytes(client.get(EXPORT, params={"format": "parquet"}).content)
    answer = duckdb.sql(
        f"SELECT sum(value), any_value(tags['plan']), sum(CAST(properties->>'n' AS INT)), typeof(any_value(timestamp)) "
        f"FROM '{path}'"
    ).fetchall()
    assert answer == [(45.0, "pro", 45, "TIMESTAMP WITH TIME ZONE")]


def test_nobody_exports_another_project_or_mode(server: Server, keys: Keys, client: Client, project: str) -> None:
    send(client, MIXED)
    client.post("/api/v1/metrics", json={"name": "load", "type": "gauge", "value": 1})
    assert len(exported(client, of="metrics")) == 1
    for other in (server.key(f"{project}-other"), server.key(project, "test")):
        with server.client(other) as stranger:
            for form in FORMATS:
                assert exported(stranger, format=form) == exported(stranger, format=form, of="metrics") == []


def test_a_key_without_the_scope_exports_and_imports_nothing(server: Server, project: str) -> None:
    with server.client(server.key(project, scopes=frozenset({"ingest"}))) as sender:
        assert sender.get(EXPORT).status_code == 403
    with server.client(server.key(project, scopes=frozenset({"ingest", "query"}))) as reader:
        assert reader.post(IMPORT, content=b"{}").status_code == 403


def test_head_says_how_many_events_there_are(client: Client) -> None:
    send(client, MIXED)
    assert client.head(EXPORT).headers["headrace-events"] == "3"


def test_a_client_that_hangs_up_stops_its_export(server: Server, client: Client) -> None:
    before = len(server.logs)
    for _ in range(4):
        send(client, [{"name": "large", "properties": {"text": "x" * 100_000}} for _ in range(80)])
    with client.stream("GET", EXPORT) as reply:
        next(reply.iter_bytes())
    until(lambda: "headrace_queries_running 0" in client.get("/metrics").text)
    said = server.logs[before:]
    assert [line for line in said if line.get("level") in ("error", "critical") or "level" not in line] == []
