"""The OpenAPI document and its viewer: Swagger UI from an installed wheel, so that nothing is fetched from other hosts.

Serves only the files named here. Never uses the runtime: these routes need no key and no store.
"""

import asyncio
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from html import escape
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import falcon
import falcon.asgi
import msgspec
import yaml

from headrace.dialects.wire import encode_json
from headrace.model.errors import NotFound

_DISTRIBUTION = "swagger-ui-py"
_FOLDER = "swagger_ui/static"
_START = "start.js"

# The files that may be served from the wheel's folder, which also holds an editor of 20 MB.
_MEDIA_TYPES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "index.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    _START: "text/javascript; charset=utf-8",
}

# A separate file, because the page's policy forbids inline scripts. Without `validatorUrl` it would be swagger.io's.
_START_SCRIPT = b"""\
window.ui = SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""

# Source: https://www.w3.org/TR/CSP3/; the data: images are those inside swagger-ui.css.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_KEEP = "public, max-age=31536000, immutable"  # the address contains a hash of the content, see `_address`


class _Asset(msgspec.Struct, frozen=True):
    content: bytes
    media_type: str
    version: str


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document: openapi/base.yaml and a file for each of its tags. Shared, so do not change it.

    Raises ValueError if two files define the same path or component.
    """
    joined, paths = _part("base"), dict[str, Any]()
    components: dict[str, dict[str, Any]] = joined["components"]
    for tag in joined["tags"]:
        part = _part(tag["name"].lower())
        _add(paths, part.get("paths", {}))
        for kind, entries in part.get("components", {}).items():
            _add(components.setdefault(kind, {}), entries)
    return joined | {"paths": paths}


def _part(name: str) -> dict[str, Any]:
    """One file, with the anchors of shared.yaml resolved."""
    folder = files("headrace.http").joinpath("openapi")
    text = b"".join(folder.joinpath(f"{each}.yaml").read_bytes() for each in ("shared", name))
    # libyaml takes 40 ms for all files, the pure Python loader 300 ms.
    part: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    del part["x-shared"]
    return part


def _add(whole: dict[str, Any], part: dict[str, Any]) -> None:
    if both := whole.keys() & part.keys():
        raise ValueError(f"The OpenAPI document defines these twice: {', '.join(sorted(both))}.")
    whole.update(part)


@cache
def _document_json() -> bytes:
    return encode_json(document())


@cache
def _asset(name: str) -> _Asset:
    """One of the files in `_MEDIA_TYPES`."""
    content = _START_SCRIPT if name == _START else _read(name)
    return _Asset(content, _MEDIA_TYPES[name], sha256(content).hexdigest()[:12])


def _read(name: str) -> bytes:
    # Not importlib.resources, which would import the package, and with it jinja2, just to find a folder.
    return Path(str(distribution(_DISTRIBUTION).locate_file(f"{_FOLDER}/{name}"))).read_bytes()


def _address(name: str) -> str:
    return escape(f"/docs/{name}?v={_asset(name).version}")


@cache
def _page() -> bytes:
    title = escape(document()["info"]["title"])
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{_address("favicon-32x32.png")}">
<link rel="stylesheet" href="{_address("index.css")}">
<link rel="stylesheet" href="{_address("swagger-ui.css")}">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The document itself is at <a href="/openapi.json">/openapi.json</a>.</noscript>
<script src="{_address("swagger-ui-bundle.js")}"></script>
<script src="{_address(_START)}"></script>
</body>
</html>
""".encode()


class OpenApiDocument:
    """/openapi.json"""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = await asyncio.to_thread(_document_json)


class Viewer:
    """/docs"""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response) -> None:
        resp.data = await asyncio.to_thread(_page)
        resp.content_type = "text/html; charset=utf-8"
        resp.set_headers(
            {
                "Content-Security-Policy": _POLICY,
                "Cache-Control": "no-cache",
                "Referrer-Policy": "no-referrer",
            }
        )


class ViewerFile:
    """/docs/{file}"""

    async def on_get(self, _req: falcon.asgi.Request, resp: falcon.asgi.Response, file: str) -> None:
        if file not in _MEDIA_TYPES:
            raise NotFound(f"There is no file {file[:80]!r} here.")
        asset = await asyncio.to_thread(_asset, file)
        resp.data = asset.content
        resp.content_type = asset.media_type
        resp.set_headers({"Cache-Control": _KEEP})


def routes() -> Sequence[tuple[str, object]]:
    """(URI template, resource) of each route here."""
    return (("/openapi.json", OpenApiDocument()), ("/docs", Viewer()), ("/docs/{file}", ViewerFile()))
