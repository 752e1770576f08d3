"""What a team would run instead, for the same requests over HTTP. Each checks less and promises less than Headrace.

uvicorn bench.rivals:limit     (a) the limit: a bare ASGI app that only decodes the body
uvicorn bench.rivals:valkey    (b) the body decoded, one XADD an event, one pipeline a request; answered when Valkey has synced
uvicorn bench.rivals:fastapi   (c) Pydantic models, one transaction a request, one multi-row insert, a unique index on the key
"""

import json
import os
import uuid
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


async def _body_of(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


async def _answer(send: Any, reply: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


def _events_of(body: bytes) -> list[dict[str, Any]]:
    document = _decode(body or b"{}")  # nothing, when it is only asked whether it is there
    return document.get("events", [document])


async def limit(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Stores nothing. What is above this is what Python's HTTP and JSON leave."""
    if scope["type"] == "http":
        events = _events_of(await _body_of(receive))
        await _answer(send, b'{"data":{"accepted":%d,"rejected":0}}' % len(events))


def valkey() -> Any:
    """An append-only stream with `appendfsync always`: what is answered is on disk. It checks no field, knows no repeat of a key,
    and cannot be queried; every stream entry stays in memory.

    Source: https://valkey.io/commands/xadd/
    """
    from valkey.asyncio import BlockingConnectionPool, Valkey

    client = Valkey(connection_pool=BlockingConnectionPool.from_url(os.environ["VALKEY_URL"], max_connections=64))

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return None
        if scope["method"] == "GET":
            return await _answer(send, b"{}")
        events = _events_of(await _body_of(receive))
        pipeline = client.pipeline(transaction=False)
        for event in events:
            event["properties"] = _encode(event["properties"])
            event["tags"] = _encode(event["tags"])
            pipeline.xadd("events", event)
        await pipeline.execute()
        return await _answer(send, b'{"data":{"accepted":%d,"rejected":0}}' % len(events))

    return app


_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    id uuid PRIMARY KEY, name text NOT NULL, timestamp timestamptz NOT NULL, user_id text, value double precision,
    properties jsonb NOT NULL, tags jsonb NOT NULL, key text);
CREATE UNIQUE INDEX IF NOT EXISTS events_key ON events (key) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS events_name_time ON events (name, timestamp);
"""
_INSERT = """
INSERT INTO events SELECT * FROM
    unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::float8[], $6::jsonb[], $7::jsonb[], $8::text[])
ON CONFLICT (key) WHERE key IS NOT NULL DO NOTHING
"""


def fastapi() -> Any:
    """As its own docs advise: a worker a core, uvloop, Pydantic in and out, an asyncpg pool with prepared statements, and
    arrays unnested into one insert.

    Sources: https://fastapi.tiangolo.com/deployment/server-workers/, https://www.postgresql.org/docs/18/populate.html
    """
    import asyncpg
    from fastapi import FastAPI
    from pydantic import BaseModel, Field

    class Event(BaseModel):
        name: str = Field(min_length=1, max_length=200)
        timestamp: datetime | None = None
        user_id: str | None = Field(default=None, max_length=255)
        value: float | None = None
        properties: dict[str, Any] = {}
        tags: dict[str, str] = {}
        idempotency_key: str | None = Field(default=None, max_length=255)

    class Batch(BaseModel):
        events: list[Event] = Field(min_length=1, max_length=500)

    pool: Any = None

    @asynccontextmanager
    async def lifespan(_app: Any) -> Any:
        nonlocal pool
        pool = await asyncpg.create_pool(os.environ["PG_DSN"], min_size=4, max_size=16)
        async with pool.acquire() as connection:
            await connection.execute(f"SELECT pg_advisory_xact_lock(1); {_SCHEMA}")
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    async def insert(events: list[Event]) -> None:
        now = datetime.now(UTC)
        rows = [
            (uuid.uuid4(), e.name, e.timestamp or now, e.user_id, e.value,
             json.dumps(e.properties), json.dumps(e.tags), e.idempotency_key)
            for e in events
        ]  # fmt: skip
        await pool.execute(_INSERT, *zip(*rows, strict=True))  # alone, a statement is its own transaction

    @app.post("/api/v1/events", status_code=201)
    async def track(event: Event) -> dict[str, dict[str, Any]]:
        await insert([event])
        return {"data": {"name": event.name, "timestamp": event.timestamp}}

    @app.post("/api/v1/events/batch", status_code=201)
    async def track_batch(batch: Batch) -> dict[str, dict[str, int]]:
        await insert(batch.events)
        return {"data": {"accepted": len(batch.events), "rejected": 0}}

    return app
