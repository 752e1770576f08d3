"""What a team would run instead, for the same requests: (a) the limit, and (c) FastAPI with PostgreSQL.

uvicorn bench.rivals:limit        a bare ASGI app that only decodes the body
uvicorn bench.rivals:fastapi      Pydantic models, one transaction a request, one multi-row insert, a unique index on the key
"""

import json
import os
import uuid
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


async def limit(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    document = _decode(body)
    count = len(document["events"]) if "events" in document else 1
    reply = b'{"data":{"accepted":%d,"rejected":0}}' % count
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(reply))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": reply})


def fastapi() -> Any:
    """Tuned as its own docs advise: a pool, prepared statements through asyncpg, binary COPY-free multi-row insert by unnest."""
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
        idempotency_key: str | None = None

    class Batch(BaseModel):
        events: list[Event] = Field(max_length=500)

    pool: Any = None

    @asynccontextmanager
    async def lifespan(_app: Any) -> Any:
        nonlocal pool
        pool = await asyncpg.create_pool(os.environ["PG_DSN"], min_size=4, max_size=16)
        await pool.execute(
            "CREATE TABLE IF NOT EXISTS events (id uuid PRIMARY KEY, name text NOT NULL, timestamp timestamptz NOT NULL, "
            "user_id text, value double precision, properties jsonb NOT NULL, tags jsonb NOT NULL, key text);"
            "CREATE UNIQUE INDEX IF NOT EXISTS events_key ON events (key) WHERE key IS NOT NULL;"
            "CREATE INDEX IF NOT EXISTS events_name_time ON events (name, timestamp)"
        )
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    async def insert(events: list[Event]) -> int:
        rows = [
            (
                uuid.uuid4(),
                e.name,
                e.timestamp,
                e.user_id,
                e.value,
                json.dumps(e.properties),
                json.dumps(e.tags),
                e.idempotency_key,
            )
            for e in events
        ]
        done = await pool.execute(
            "INSERT INTO events SELECT id, name, coalesce(ts, now()), user_id, value, properties, tags, key FROM "
            "unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::text[], $5::float8[], $6::jsonb[], $7::jsonb[], $8::text[]) "
            "AS t(id, name, ts, user_id, value, properties, tags, key) ON CONFLICT DO NOTHING",
            *zip(*rows, strict=True),
        )
        return int(done.rsplit(" ", 1)[1])

    @app.post("/api/v1/events", status_code=201)
    async def track(event: Event) -> dict[str, Any]:
        await insert([event])
        return {"data": {"name": event.name}}

    @app.post("/api/v1/events/batch", status_code=201)
    async def track_batch(batch: Batch) -> dict[str, Any]:
        await insert(batch.events)
        return {"data": {"accepted": len(batch.events), "rejected": 0}}

    return app
