"""An open-loop client of several requests: sends them in turn, at the times it was told to, whether or not the last answer has come.

python -m bench.paced HOST PORT FILE RATE SECONDS

FILE: JSON, {"requests": [each whole request as text]}. Writes JSON into its place: for each status, the milliseconds of each
answer from when its request was due. A wait for a free connection counts, as it would for a user.
"""

import asyncio
import json
import re
import sys
import time
from itertools import cycle
from pathlib import Path

import uvloop

_CONNECTIONS = 128
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = _LENGTH.search(head)
    assert length, head
    await reader.readexactly(int(length[1]))
    return int(head[9:12])


async def run(host: str, port: int, requests: list[bytes], rate: int, seconds: float) -> dict[int, list[float]]:
    """By status: latencies in ms."""
    free: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()
    for _ in range(_CONNECTIONS):
        free.put_nowait(await asyncio.open_connection(host, port, limit=1 << 20))
    found: dict[int, list[float]] = {}

    async def one(due: float, request: bytes) -> None:
        connection = await free.get()
        status = await _send(*connection, request)
        found.setdefault(status, []).append((time.perf_counter() - due) * 1000)
        free.put_nowait(connection)

    start, in_turn = time.perf_counter(), cycle(requests)
    async with asyncio.TaskGroup() as tasks:
        for number in range(int(rate * seconds)):
            due = start + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            tasks.create_task(one(due, next(in_turn)))
    while not free.empty():
        free.get_nowait()[1].close()
    return found


if __name__ == "__main__":
    host, port, file, rate, seconds = sys.argv[1:]
    given = [each.encode() for each in json.loads(Path(file).read_text())["requests"]]
    Path(file).write_text(json.dumps(uvloop.run(run(host, int(port), given, int(rate), float(seconds)))))
