"""Refuses parameters that a route does not accept, because a figure that ignores a filter looks right. Knows no dialect.

The OpenAPI document says which parameters a route accepts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import falcon.asgi
import msgspec

from headrace.dialects.names import nearest
from headrace.dialects.wire import Pairs
from headrace.http.console_paths import api_paths
from headrace.http.docs import document
from headrace.model.errors import InvalidRequest

_MAX_SHOWN = 80
_METHODS = ("get", "put", "post", "patch", "delete")


class _Known(msgspec.Struct, frozen=True):
    """One route's parameters. `maps` are the ones written `tags[k]`."""

    path: str
    plain: frozenset[str]
    maps: frozenset[str]


class Strict:
    """Checks the parameters of documented routes. Undocumented routes accept everything."""

    def __init__(self) -> None:
        paths: dict[str, dict[str, Any]] = document()["paths"]
        self._routes = {
            (method.upper(), _pathless(path)): _known(path, operation)
            for path, operations in paths.items()
            for method, operation in operations.items()
            if method in _METHODS
        }

    def check(self, req: falcon.asgi.Request, pairs: Pairs, /) -> None:
        """Raises InvalidRequest for an unknown parameter with a value, and for one with two different values."""
        method = "GET" if req.method == "HEAD" else req.method
        template = _pathless(req.uri_template or "")
        known = next((found for each in api_paths(template) if (found := self._routes.get((method, each)))), None)
        if known is None:
            return
        seen: dict[str, str] = {}
        for name, value in pairs:
            base, bracket, _ = name.partition("[")
            if bracket and name.endswith("]") and base in known.maps:
                continue
            if not value:  # treated as absent
                continue
            if name not in known.plain:
                raise InvalidRequest(self._unknown(name, known, method))
            if seen.setdefault(name, value) != value:
                raise InvalidRequest(f"'{name}' is given twice, with two values: send one.")

    def _unknown(self, name: str, known: _Known, method: str) -> str:
        shown = name[:_MAX_SHOWN]
        elsewhere = next(
            (
                other.path
                for (of_method, _), other in self._routes.items()
                if of_method == method and name in other.plain and _family(other.path) == _family(known.path)
            ),
            "",
        )
        if elsewhere:
            return f"There is no parameter {shown!r} here; {elsewhere} has it."
        names = [*known.plain, *(f"{each}[…]" for each in known.maps)]
        return f"There is no parameter {shown!r}: {nearest(name, names)}"


def _family(path: str) -> list[str]:
    return path.split("/")[:4]


def _pathless(template: str) -> str:
    """A path template without its parameters' names, which router and document choose independently."""
    return "/".join("{}" if part.startswith("{") else part for part in template.split("/"))


def _known(path: str, operation: Mapping[str, Any]) -> _Known:
    plain: set[str] = set()
    maps: set[str] = set()
    for parameter in _parameters(operation):
        if parameter["in"] == "query":
            (maps if parameter.get("style") == "deepObject" else plain).add(parameter["name"])
    return _Known(path, frozenset(plain), frozenset(maps))


def _parameters(operation: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for parameter in operation.get("parameters", ()):
        if "$ref" in parameter:
            yield document()["components"]["parameters"][parameter["$ref"].rpartition("/")[2]]
        else:
            yield parameter
