"""An open-loop client: sends at the times it was told to, whether or not the last answer has come.

A wait for a free connection counts as latency, as it would for a user. wrk cannot do this.
"""

import asyncio
import sys
import time

import uvloop


async def _send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> None:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    if b" 201 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(head.decode())
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)


async def run(
    host: str, port: int, path: str, key: str, body: bytes, rate: int, seconds: float
) -> tuple[list[float], float]:
    """Latencies in ms, sorted, each from the time at which its request was due; and how many seconds it took."""
    request = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(64):
        free.put_nowait(await asyncio.open_connection(host, port))
    latencies: list[float] = []

    async def one(due: float) -> None:
        connection = await free.get()
        await _send(*connection, request)
        latencies.append((time.perf_counter() - due) * 1000)
        free.put_nowait(connection)

    start = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return sorted(latencies), time.perf_counter() - start


if __name__ == "__main__":
    host, port, path, key, body_file, rate, seconds = sys.argv[1:]
    with open(body_file, "rb") as file:
        found, took = uvloop.run(run(host, int(port), path, key, file.read(), int(rate), float(seconds)))
    shares = (f"{found[int(len(found) * share)]:.2f}" for share in (0.5, 0.99, 0.999))
    print(len(found), f"{took:.2f}", *shares, f"{found[-1]:.2f}")
