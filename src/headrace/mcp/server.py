"""The Model Context Protocol: lists the tools and answers their calls by asking a running server, with the caller's key.

Over stdin and stdout the key is the command's; over HTTP it is the one of each request, and a request without one is refused.
Source: https://modelcontextprotocol.io/specification
"""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, MutableMapping
from http.client import HTTPException
from typing import Any, TypeAlias

import msgspec
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.server.transport_security import TransportSecuritySettings
from mcp_types import CallToolRequestParams, CallToolResult, ListToolsResult, TextContent, ToolAnnotations
from mcp_types import Tool as Shown

from headrace import __version__
from headrace.mcp.client import NoRedirect, notice_of, reason_of
from headrace.mcp.tools import Refused, Request, Tool, rendered, tools

_TIMEOUT_S = 60.0
_MAX_BYTES = 16 * 1024 * 1024
_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Unanswered(Exception):
    """The server refused, or did not answer. Says why."""


def ask(url: str, key: str, request: Request, /) -> tuple[Any, str]:
    """The server's answer, and what its reader has to know of it: see `notice_of`. Raises Unanswered.

    Follows no redirect, which would carry the key elsewhere.
    """
    body = None if request.body is None else msgspec.json.encode(request.body)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Accept": "application/json"}
    asked = urllib.request.Request(url + request.path, body, headers, method=request.method)  # noqa: S310  checked by `base_of`
    opener = urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(asked, timeout=_TIMEOUT_S) as reply:
            found: bytes = reply.read(_MAX_BYTES + 1)
            notice = notice_of(reply.headers)
    except urllib.error.HTTPError as error:
        with error:
            said = f"The server answered {error.code}: {reason_of(error.read(10_000))}"
            raise Unanswered(f"{said} {notice_of(error.headers)}".rstrip()) from None
    except (OSError, HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise Unanswered(f"The server at {url} did not answer: {reason}.") from None
    if len(found) > _MAX_BYTES:
        raise Unanswered("The answer is too large: ask for less.")
    try:
        return msgspec.json.decode(found), notice
    except msgspec.DecodeError:
        raise Unanswered(f"What answered at {url} is no Headrace server: it sent no JSON.") from None


async def call(known: dict[str, Tool], url: str, key: str, name: str, arguments: dict[str, Any], /) -> CallToolResult:
    """What goes wrong is the tool's answer, so that a model can ask better. What a stale answer is comes before it."""
    notice = ""
    try:
        tool = known.get(name)
        if tool is None:
            raise Refused(f"There is no tool {name[:80]!r}; known are {', '.join(known)}.")
        answer, notice = await asyncio.to_thread(ask, url, key, tool.request(arguments))
        text, failed = rendered(tool.pick(arguments, answer)), False
    except (Refused, Unanswered) as error:
        text, failed = str(error), True
    texts = [notice, text] if notice else [text]
    return CallToolResult(content=[TextContent(type="text", text=each) for each in texts], is_error=failed)


def server_of(url: str, key: str = "", /, *, writing: bool = False) -> Server[Any]:
    """key: "" where each request brings its own. writing: with the tools that write."""
    known = {tool.name: tool for tool in tools(writing=writing)}
    shown = [
        Shown(
            name=tool.name,
            description=tool.description,
            input_schema=tool.schema,
            annotations=ToolAnnotations(read_only_hint=not tool.writes, destructive_hint=False, open_world_hint=False),
        )
        for tool in known.values()
    ]

    async def list_tools(_context: Any, _params: Any) -> ListToolsResult:
        return ListToolsResult(tools=shown)

    async def call_tool(context: Any, params: CallToolRequestParams) -> CallToolResult:
        return await call(known, url, key or _key_of(context.request), params.name, params.arguments or {})

    return Server(
        "headrace",
        version=__version__,
        instructions="Questions about a project's events. Begin with the catalogue, which names events and properties.",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def _key_of(request: Any) -> str:
    return str(request.headers.get("authorization", "")).removeprefix("Bearer ").strip()


async def run_stdio(url: str, key: str, /, *, writing: bool = False) -> None:
    """Until stdin ends."""
    server = server_of(url, key, writing=writing)
    async with stdio_server() as (received, sent):
        await server.run(received, sent, server.create_initialization_options())


def http_app(
    url: str, hosts: list[str], /, *, writing: bool = False
) -> Callable[[_Scope, _Receive, _Send], Awaitable[None]]:
    """The ASGI application with `/mcp`. hosts: what requests may call it, beside this machine, for pages may send some too."""
    names = ["127.0.0.1:*", "localhost:*", "[::1]:*", *hosts]
    security = TransportSecuritySettings(enable_dns_rebinding_protection=True, allowed_hosts=names, allowed_origins=[])
    inner = server_of(url, writing=writing).streamable_http_app(
        json_response=True, stateless_http=True, max_request_body_size=256 * 1024, transport_security=security
    )

    async def app(scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http" and not dict(scope["headers"]).get(b"authorization", b"").startswith(b"Bearer "):
            headers = [(b"content-type", b"application/json"), (b"www-authenticate", b"Bearer")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"error":"Send a key: Authorization: Bearer <key>."}'})
            return
        await inner(scope, receive, send)

    return app
