"""`headrace mcp`: the tools for language models."""

import asyncio
import os
from typing import Annotated

from cyclopts import App, Parameter

from headrace.cli.remote import base_of, checked
from headrace.model.errors import SettingsError

app = App(name="mcp", help="Serve tools for language models (Model Context Protocol) that ask a running server.")
_MISSING = "The Model Context Protocol's SDK is not installed: pip install 'headrace[mcp]'."


@app.default
def mcp(
    *,
    url: str = "http://127.0.0.1:8080",
    http: Annotated[str, Parameter(help="Serve HTTP at /mcp on this HOST:PORT; default: stdin and stdout.")] = "",
    allow_host: Annotated[
        tuple[str, ...], Parameter(help="A Host header to accept beside this machine's, for HTTP.")
    ] = (),
    allow_writes: Annotated[bool, Parameter(negative="", help="Add send_event, which stores an event.")] = False,
) -> None:
    """Serve the tools: catalogue, query, funnel, retention, paths, event, trace, explain_rule. They only read.

    Over stdin and stdout, HEADRACE_KEY is the key. Over HTTP each request sends its own.

    Args:
        url: The server to ask.
    """
    key = checked(os.environ.get("HEADRACE_KEY", "").strip())
    if not http and not key:
        raise SettingsError(
            "HEADRACE_KEY is not set: give it a key with the scope query (and admin, for explain_rule)."
        )
    base = base_of(url)
    try:
        # Imported here: it is an optional dependency, and takes a second.
        from headrace.mcp import server  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise SettingsError(_MISSING) from None
    if not http:
        asyncio.run(server.run_stdio(base, key, writing=allow_writes))
        return
    import uvicorn  # noqa: PLC0415

    host, _, port = http.rpartition(":")
    if not (port.isdigit() and int(port) < 65536):
        raise SettingsError(f"--http must be HOST:PORT, such as 127.0.0.1:8090; it is {http[:80]!r}.")
    uvicorn.run(
        server.http_app(base, list(allow_host), writing=allow_writes),
        host=host.strip("[]") or "127.0.0.1",
        port=int(port),
        log_level="warning",
    )
