"""Holds a reply against the OpenAPI document, whose schemas it compiles once, as they are needed. Knows no code that answers.

A reply passes only if the document says so: the route, the status, the content type, the headers and the whole body.
A path or method that the document does not have must be refused in the words of the API whose prefix the path has.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, NoReturn

import jsonschema_rs
from jsonschema import Draft202012Validator, ValidationError, validators
from jsonschema.protocols import Validator

from headrace.dialects.route import Dialect
from headrace.dialects.table import DIALECTS, Owners
from headrace.http.docs import document

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_RATE_HEADERS = frozenset(
    {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy"}
)
_SHOWN_CHARS = 600

# JSON Schema takes 1.0 for an integer; a count written so would be a mistake here.
_Worded: type[Validator] = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int),
)


class _NoFloat:
    """What stands beside each `type: integer` of a schema that `jsonschema_rs` reads."""

    KEYWORD = "noFloat"

    def __init__(self, *_: object) -> None: ...

    def validate(self, value: object) -> None:
        if type(value) is float:
            raise ValueError(value)


def resolved(node: Any, root: Mapping[str, Any] | None = None) -> Any:
    """A part of the document with every $ref in it replaced by what it points to, so that validating follows none.

    What stands beside a $ref in a schema holds as well; elsewhere only descriptions stand there. Nothing in the
    document refers to itself. Change nothing in it: where two refer to the same, it is the same object.
    """
    return _resolved(node, document() if root is None else root, {})


def _resolved(node: Any, root: Mapping[str, Any], targets: dict[str, Any]) -> Any:
    """targets: those resolved so far, by their $ref."""
    if isinstance(node, list):
        return [_resolved(element, root, targets) for element in node]
    if not isinstance(node, dict):
        return node
    rest = {key: _resolved(value, root, targets) for key, value in node.items() if key != "$ref"}
    if not isinstance(ref := node.get("$ref"), str):
        return rest
    if ref not in targets:
        target: Any = root
        for segment in ref.removeprefix("#/").split("/"):
            target = target[segment.replace("~1", "/").replace("~0", "~")]
        targets[ref] = _resolved(target, root, targets)
    return {"allOf": [targets[ref]], **rest} if rest.keys() - {"description"} else targets[ref]


class Schema:
    """A resolved schema, whose formats are checked as well. Of two libraries one decides, in a 70th of the other's time, and the
    other words what does not fit.
    """

    def __init__(self, schema: Any) -> None:
        self._schema = schema

    @cached_property
    def _fits(self) -> Callable[[Any], bool]:
        validator = jsonschema_rs.Draft202012Validator(
            _without_floats(self._schema), validate_formats=True, keywords={_NoFloat.KEYWORD: _NoFloat}
        )
        return validator.is_valid

    def errors(self, value: Any) -> list[str]:
        """What does not fit, each with its place."""
        with suppress(UnicodeEncodeError):  # of half a surrogate pair, which only the other one takes
            if self._fits(value):
                return []
            return self._worded(value) or ["only jsonschema_rs says so"]
        return self._worded(value)

    def _worded(self, value: Any) -> list[str]:
        validator = _Worded(self._schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        return [_line(error) for error in _leaves(validator.iter_errors(value))]


def _without_floats(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_floats(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    strict = {key: _without_floats(value) for key, value in schema.items()}
    return strict | {_NoFloat.KEYWORD: True} if _may_be_integer(schema.get("type")) else strict


def _may_be_integer(kind: Any) -> bool:
    """Not where the schema takes any number."""
    kinds = kind if isinstance(kind, list) else [kind]
    return "integer" in kinds and "number" not in kinds


class _Reply:
    """What the document says of one status of one operation."""

    def __init__(self, response: Mapping[str, Any]) -> None:
        self.headers = [
            (name, bool(header.get("required")), header["schema"].get("type"), Schema(header["schema"]))
            for name, header in response.get("headers", {}).items()
        ]
        self.content = {
            media_type: Schema(content.get("schema", True))
            for media_type, content in response.get("content", {}).items()
        }

    def check(self, headers: Mapping[str, str], body: bytes | None) -> None:
        """`headers` by lower-case name; no body at all after HEAD."""
        for name, required, kind, schema in self.headers:
            value = headers.get(name.lower())
            if value is None:
                _require(not required, f"the header {name} is missing")
                continue
            whole = kind == "integer" and re.fullmatch(r"-?[0-9]+", value)
            _validate(schema, int(value) if whole else value, f"the header {name}")
        present = _RATE_HEADERS & headers.keys()
        _require(present in (frozenset(), _RATE_HEADERS), f"of the rate headers there are only {sorted(present)}")
        if body is None:
            return
        if not self.content:
            _require(not body, "there should be no body")
            return
        media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
        schema = self.content.get(media_type)
        if schema is None:
            _fail(f"the content type is {media_type!r} and should be {' or '.join(self.content)}")
        if media_type == "application/x-ndjson":  # as many documents as there are lines, perhaps none
            for line in body.splitlines():
                _parse(line)
        elif media_type.endswith("json"):
            _validate(schema, _parse(body), "the body")
        else:
            _require(bool(body), "the body is empty")


class _Path:
    def __init__(self, template: str, item: Mapping[str, Any]) -> None:
        self.segments = template.split("/")
        self.operations = {
            method: {int(status): _Reply(response) for status, response in item[method]["responses"].items()}
            for method in _METHODS
            if method in item
        }

    @property
    def rank(self) -> list[bool]:
        """Sorts a literal segment before a template."""
        return [segment.startswith("{") for segment in self.segments]

    @property
    def pattern(self) -> str:
        """Of a path without a slash at its end. `{name}` as the last segment is the rest of the path."""
        *before, last = (r"[^/]*" if each.startswith("{") else re.escape(each) for each in self.segments)
        return "/".join([*before, ".+" if self.segments[-1] == "{name}" else last])


_PATHS = sorted(
    (_Path(template, item) for template, item in resolved(document()["paths"]).items()), key=lambda path: path.rank
)
_ANY_PATH = re.compile("|".join(f"({path.pattern})" for path in _PATHS), re.DOTALL)
_COMMON = {name: _Reply(response) for name, response in resolved(document()["components"]["responses"]).items()}
_APIS = {name.removesuffix("NotFound").lower(): name.removesuffix("NotFound") for name in _COMMON}
_OWNERS = Owners(DIALECTS, otherwise=Dialect("problem", lambda _error, _status: b""))


def check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Raise AssertionError, saying what was wrong, unless the document describes this reply to this request.

    path: as the server sees it, percent-decoded and without a query. headers: names in any case.
    """
    try:
        lower = {name.lower(): value for name, value in headers.items()}
        _check(method.lower(), path, status, lower, None if method.upper() == "HEAD" else body)
    except AssertionError as error:
        shown = body[:_SHOWN_CHARS].decode(errors="replace") + ("…" if len(body) > _SHOWN_CHARS else "")
        raise AssertionError(f"{method} {path} → {status}: {error}\n{shown}") from None


def _check(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes | None) -> None:
    found = find(path)
    if method == "head" and found and "get" in found.operations:  # RFC 9110 §9.3.2
        method = "get"
    if found is None:
        _require(status == 404, "the document has no such path, so the status should be 404")
        _COMMON[f"{_api_of(path)}NotFound"].check(headers, body)
    elif method in found.operations:
        _require(status != 405, "the document has this method here, so the status should not be 405")
        reply = found.operations[method].get(status)
        if reply is None:
            _fail(f"the document has only {sorted(found.operations[method])} here")
        reply.check(headers, body)
        if method == "options":
            _check_allow(found, headers)
    elif method == "options":
        _require(status in (200, 204) and not body, "OPTIONS should be answered 200 or 204 without a body")
        _check_allow(found, headers)
    else:
        _require(status == 405, "the document does not have this method here, so the status should be 405")
        _COMMON[f"{_api_of(path)}MethodNotAllowed"].check(headers, body)
        _check_allow(found, headers)


def find(path: str) -> _Path | None:
    # Two slashes at the end are those of a name.
    found = _ANY_PATH.fullmatch(path if path.endswith("//") else path.removesuffix("/") or "/")
    return _PATHS[found.lastindex - 1] if found and found.lastindex else None


def _api_of(path: str) -> str:
    """What the names of an API's errors in the document's components/responses begin with."""
    return _APIS[_OWNERS.owner_of(path).name]


def _check_allow(path: _Path, headers: Mapping[str, str]) -> None:
    """Source: https://www.rfc-editor.org/rfc/rfc9110#section-10.2.1"""
    allowed = {method.strip().lower() for method in headers.get("allow", "").split(",")}
    wanted = path.operations.keys() | {"options"} | ({"head"} if "get" in path.operations else set())
    allowed |= {"head"} & wanted  # comes with GET, and is not written down
    _require(
        allowed | {"options"} == wanted,
        f"Allow is {headers.get('allow')!r} and should name {', '.join(sorted(wanted)).upper()}",
    )


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode(), parse_constant=_refuse)
    except ValueError as error:
        _fail(f"the body is no JSON: {error}")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _validate(schema: Schema, value: Any, what: str) -> None:
    if lines := schema.errors(value):
        _fail(f"{what} does not fit: {'; '.join(lines[:5])}")


def _leaves(errors: Any) -> Iterator[ValidationError]:
    """The errors that name a place, in stead of an anyOf that only says that no branch fits."""
    for error in errors:
        if error.context:
            yield from _leaves(error.context)
        else:
            yield error


def _line(error: ValidationError) -> str:
    message = error.message if len(error.message) <= _SHOWN_CHARS else f"{error.message[:_SHOWN_CHARS]}…"
    return f"{error.json_path}: {message}"


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        _fail(otherwise)


def _fail(message: str) -> NoReturn:
    raise AssertionError(message)
