"""The console's page and files. They are the same for everybody, so nobody has to be admitted to see them."""

import asyncio

import falcon
import falcon.asgi

from headrace.http.console_files import File, dist
from headrace.model.errors import MethodNotAllowed, NotFound

# That of /docs, and no script but the page's own can make HTML of text. Svelte makes its templates under that name.
# Source: https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types svelte-trusted-html"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-cache",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_KEEP = "public, max-age=31536000, immutable"  # names of files hold a hash of the content
_MISSING = b"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Headrace: no console</title>
</head>
<body>
<h1>This headrace was installed without its console</h1>
<p>The server works; only the pages of the console are missing. They are built when headrace is installed from a checkout,
which takes the registry of npm packages. In the checkout, run:</p>
<pre>make console</pre>
<p>and start the server again. The API is described at <a href="/docs">/docs</a>.</p>
</body>
</html>
"""


class Page:
    """/console, and every address below it that is neither a file nor a call."""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        found = await asyncio.to_thread(dist)
        resp.set_headers(_HEADERS)
        if found is None:
            resp.status = falcon.HTTP_503
            resp.content_type = "text/html; charset=utf-8"
            resp.data = _MISSING
        else:
            _send(req, resp, found.page)

    async def on_get_below(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, rest: str) -> None:
        if rest.partition("/")[0] in ("api", "assets"):
            raise NotFound(f"There is no route {req.path[:200]}.")
        await self.on_get(req, resp)

    async def on_options(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response) -> None:
        raise MethodNotAllowed(req.method, ("GET",))

    async def on_options_below(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response, rest: str) -> None:  # noqa: ARG002
        raise MethodNotAllowed(req.method, ("GET",))


class Assets:
    """/console/assets/{file}"""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response, file: str) -> None:
        found = await asyncio.to_thread(dist)
        if found is None or file not in found.assets:
            raise NotFound(f"There is no file {file[:80]!r} here.")
        _send(req, resp, found.assets[file])
        resp.set_headers({"Cache-Control": _KEEP, "Cross-Origin-Resource-Policy": "same-origin"})

    async def on_options(self, req: falcon.asgi.Request, _resp: falcon.asgi.Response, file: str) -> None:  # noqa: ARG002
        raise MethodNotAllowed(req.method, ("GET",))


def _send(req: falcon.asgi.Request, resp: falcon.asgi.Response, file: File) -> None:
    resp.content_type = file.media_type
    resp.append_header("Vary", "Accept-Encoding")
    if "gzip" in (req.get_header("Accept-Encoding") or ""):
        resp.set_header("Content-Encoding", "gzip")
        resp.data = file.gzipped
    else:
        resp.data = file.content
