"""A proxy in front of a server: delays or holds what passes, cuts or resets connections, loses replies. In a thread of its own."""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_READ_BYTES = 64 * 1024


class Proxy:
    """Listens until `close`. delay_s: how long each piece is held up, in both directions. holds: whether something is held."""

    def __init__(self, connect: Callable[[], Awaitable[Streams]]) -> None:
        """connect: opens a connection to the server."""
        self.delay_s = 0.0
        self.holds = False
        self.port = 0
        self._wanted: tuple[bytes, ...] | None = None  # what the piece to be held has in it; empty: all are held
        self._go_on = asyncio.Event()
        self._connect = connect
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        listens = threading.Event()
        threading.Thread(target=self._run, args=(listens,), daemon=True).start()
        listens.wait()

    def cut(self) -> None:
        """Close every connection, as if both sides had."""
        self._for_each(_Link.close)

    def reset(self) -> None:
        """Reset every connection."""
        self._for_each(_Link.reset)

    def lose_replies(self) -> None:
        """Reset each connection that is there at its next reply, which its client does not get."""
        self._for_each(_Link.lose)

    def hold(self, *texts: bytes) -> None:
        """Hold the next piece from a client that has all of these in it, and what follows it there, until `let_go`."""
        self._loop.call_soon_threadsafe(self._hold, texts)

    def stall(self) -> None:
        """Hold whatever clients send from now on, until `let_go`. Replies to what was sent before pass."""
        self._loop.call_soon_threadsafe(self._hold, ())

    def let_go(self) -> None:
        """What is held goes on, also if its client is gone."""
        self._loop.call_soon_threadsafe(self._let_go)

    def _hold(self, texts: tuple[bytes, ...]) -> None:
        self._go_on.clear()
        self._wanted = texts

    def _let_go(self) -> None:
        self._wanted, self.holds = None, False
        self._go_on.set()

    async def pass_on(self, data: bytes) -> None:
        """Return once a piece from a client may go on."""
        if self._wanted is None or not all(text in data for text in self._wanted):
            return
        if self._wanted:
            self._wanted = None  # that was the one
        self.holds = True
        await self._go_on.wait()

    def close(self) -> None:
        self.let_go()
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _for_each(self, what: "Callable[[_Link], None]") -> None:
        def do() -> None:
            for link in list(self._links):
                what(link)

        self._loop.call_soon_threadsafe(do)

    def _run(self, listens: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        listens.set()
        self._loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await self._connect()
        except OSError:
            writer.close()
            return
        link = _Link(self, (reader, writer), server)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    def __init__(self, proxy: Proxy, client: Streams, server: Streams) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._loses = False

    async def run(self) -> None:
        both = [
            asyncio.ensure_future(self._pass(self._client[0], self._server[1], is_reply=False)),
            asyncio.ensure_future(self._pass(self._server[0], self._client[1], is_reply=True)),
        ]
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        self.close()
        await asyncio.wait(both)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        try:
            while data := await reader.read(_READ_BYTES):
                if self._proxy.delay_s:
                    await asyncio.sleep(self._proxy.delay_s)
                if not is_reply:
                    await self._proxy.pass_on(data)
                if is_reply and self._loses:
                    self.reset()
                    return
                writer.write(data)
                await writer.drain()
        except OSError:
            pass

    def lose(self) -> None:
        self._loses = True

    def close(self) -> None:
        for _, writer in (self._client, self._server):
            writer.close()

    def reset(self) -> None:
        for _, writer in (self._client, self._server):
            plain = writer.get_extra_info("socket")
            if plain is not None and plain.family == socket.AF_INET and plain.fileno() >= 0:
                # Linger for no time: what is sent as it closes is a reset (man 7 socket).
                plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


def to_port(port: int, /) -> Proxy:
    """In front of what listens on a port of this machine."""
    return Proxy(lambda: asyncio.open_connection("127.0.0.1", port))


def to_socket(path: str, /) -> Proxy:
    """In front of what listens on a Unix socket."""
    return Proxy(lambda: asyncio.open_unix_connection(path))
