"""The page at `/`: leads browsers to the console. Needs no key, and reveals nothing about the server's data."""

import falcon
import falcon.asgi

_PAGE = b"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Headrace</title>
</head>
<body>
<h1>Headrace</h1>
<p>This is an event server. Its console is at <a href="/console">/console</a>; its API is described at <a href="/docs">/docs</a>
(as OpenAPI: <a href="/openapi.json">/openapi.json</a>).</p>
<p>For monitors: <a href="/health">/health</a>, <a href="/ready">/ready</a>, <a href="/metrics">/metrics</a>.</p>
</body>
</html>
"""


class Landing:
    """/"""

    async def on_get(self, req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        if "text/html" in (req.get_header("Accept") or ""):  # a browser that opens a page; monitors ask for anything
            resp.status = falcon.HTTP_303
            resp.set_headers({"Location": "/console", "Cache-Control": "no-cache"})
            return
        resp.data = _PAGE
        resp.content_type = "text/html; charset=utf-8"
        resp.set_headers(
            {
                "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "Cache-Control": "no-cache",
                "Referrer-Policy": "no-referrer",
            }
        )
