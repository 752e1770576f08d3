"""Posts to receivers over connections to checked addresses. Follows no redirects, and uses no proxy.

The address is resolved and checked for each new connection, which then goes to exactly that address, so that no second look-up
can lead elsewhere. A reused connection still leads to its checked address, and is kept only for seconds.
"""

import asyncio
import ipaddress
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

from headrace.delivery.addresses import Network, Target, refusal
from headrace.delivery.connection import Answer, ClosedUnasked, Connection

SocketAddress: TypeAlias = tuple[Any, ...]
Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[tuple[int, SocketAddress]]]]
"""Host and port to (address family, what a socket connects to). Raises OSError."""
_MOST_ADDRESSES = 4
_CONNECT_S = 5.0  # per address, so that the next one gets its turn
_KEEP_IDLE_S, _KEEP_S = 4.0, 30.0


class NotAllowed(Exception):
    """The host has no address that deliveries may go to."""


class Client:
    """For one event loop's thread."""

    def __init__(self, allowed: Sequence[Network], resolve: Resolve, most_idle: int) -> None:
        """allowed: see `addresses.refusal`. most_idle: how many idle connections to keep per receiver."""
        self._allowed = allowed
        self._resolve = resolve
        self._most_idle = most_idle
        self._idle: dict[tuple[str, str, int], list[Connection]] = {}
        self._tls: ssl.SSLContext | None = None

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes, /) -> Answer:
        """Post once. Limits only the time to connect: cancel it for any other limit.

        Raises NotAllowed, BrokenReply, and OSError (which includes TLS errors).
        """
        lines = [f"POST {target.path} HTTP/1.1", f"Host: {target.authority}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        request = "\r\n".join((*lines, "", "")).encode("ascii") + body
        if (kept := self._take(target)) is not None:
            with suppress(ClosedUnasked):  # it was closed in the meantime, which does not count as a try
                return await self._post_over(kept, target, request)
        return await self._post_over(await self._open(target), target, request)

    def close(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                connection.close()
        self._idle.clear()

    async def _post_over(self, connection: Connection, target: Target, request: bytes) -> Answer:
        try:
            answer = await connection.post(request)
        except BaseException:  # a time limit, too
            connection.close()
            raise
        self._keep(target, connection)
        return answer

    async def _open(self, target: Target) -> Connection:
        """Open a connection to the host's first address that is allowed and answers."""
        found = await self._resolve(target.host, target.port)
        refused = ""
        failed: OSError | None = None
        for family, address in found[:_MOST_ADDRESSES]:
            if why := refusal(ipaddress.ip_address(address[0]), self._allowed):
                refused = refused or f"{target.host} leads to {address[0]}, which is not allowed: {why}."
                continue
            try:
                return await self._connect(target, family, address)
            except OSError as error:
                failed = failed or error
        if failed is not None:
            raise failed
        raise NotAllowed(refused or f"{target.host} has no address.")

    async def _connect(self, target: Target, family: int, address: SocketAddress) -> Connection:
        loop = asyncio.get_running_loop()
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            async with asyncio.timeout(_CONNECT_S):
                await loop.sock_connect(sock, address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _, connection = await loop.create_connection(
                Connection,
                sock=sock,
                ssl=self._context() if target.is_secure else None,
                server_hostname=target.host if target.is_secure else None,
            )
        except BaseException:
            sock.close()
            raise
        connection.opened_at = time.monotonic()
        return connection

    def _context(self) -> ssl.SSLContext:
        """Create the TLS context when it is first needed: reading the system's authorities takes about 20 ms."""
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    def _take(self, target: Target) -> Connection | None:
        idle = self._idle.get((target.scheme, target.host, target.port), [])
        while idle:
            connection = idle.pop()
            if connection.is_reusable:
                return connection
        return None

    def _keep(self, target: Target, connection: Connection) -> None:
        place = (target.scheme, target.host, target.port)
        idle = self._idle.setdefault(place, [])
        is_young = time.monotonic() - connection.opened_at < _KEEP_S
        if not connection.is_reusable or not is_young or len(idle) >= self._most_idle:
            connection.close()
            return
        idle.append(connection)
        asyncio.get_running_loop().call_later(_KEEP_IDLE_S, self._drop, place, connection, connection.uses)

    def _drop(self, place: tuple[str, str, int], connection: Connection, uses: int) -> None:
        """Close a connection that has stayed idle."""
        idle = self._idle.get(place, [])
        if connection in idle and connection.uses == uses:
            idle.remove(connection)
            connection.close()
        if not idle:
            self._idle.pop(place, None)
