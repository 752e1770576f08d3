"""The OpenAPI document, its viewer, and the validator that holds replies against it."""

import json
import re
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import falcon.asgi
import falcon.inspect
import falcon.testing
import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from headrace.dialects import bricqs, flux, flux_queries, hogsend, solute, table
from headrace.dialects.route import Dialect, Ingest
from headrace.http import docs
from headrace.http.app import create_app
from headrace.http.console_paths import is_console
from headrace.http.problems import Problems, status_of
from headrace.http.unread import Unread
from headrace.model import errors
from headrace.model.errors import HeadraceError
from headrace.model.filters import MAX_GROUPS, MAX_REPLAY
from headrace.model.settings import Settings
from headrace.model.zones import INTERVALS
from tests.http.capabilities import bare_capabilities
from tests.openapi.validator import Schema, check, find, resolved

RESOLVED = resolved(docs.document())
SCHEMAS = RESOLVED["components"]["schemas"]
METHODS = ("get", "post", "put", "patch", "delete", "options")
PROBLEMS = Problems(table.DIALECTS)


def operations() -> Iterator[tuple[str, str, Any]]:
    for path, item in RESOLVED["paths"].items():
        for method in METHODS:
            if method in item:
                yield path, method, item[method]


def contents() -> Iterator[tuple[str, str, Any]]:
    """(where, media type, media type object) of every body that there is, and of every common reply."""
    for path, method, operation in operations():
        for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"{method} {path} request", media_type, content
        for status, response in operation["responses"].items():
            for media_type, content in response.get("content", {}).items():
                yield f"{method} {path} {status}", media_type, content
    for name, response in RESOLVED["components"]["responses"].items():
        for media_type, content in response.get("content", {}).items():
            yield name, media_type, content


def reply_schemas() -> Iterator[tuple[str, Any]]:
    for where, _, content in contents():
        if not where.endswith("request") and "/openapi.json" not in where:
            yield where, content.get("schema", {})


def examples_of(described: Any) -> list[Any]:
    many = [example["value"] for example in described.get("examples", {}).values()]
    return many + ([described["example"]] if "example" in described else [])


def walk(node: Any) -> Iterator[Any]:
    yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from walk(child)


# ---- the document


def test_it_is_valid_openapi() -> None:
    validate(docs.document())


def test_every_file_of_it_is_joined_and_holds_the_paths_of_its_tag() -> None:
    folder = Path(docs.__file__).with_name("openapi")
    tags = {tag["name"].lower(): tag["name"] for tag in docs.document()["tags"]}
    assert {path.stem for path in folder.iterdir()} == {"base", "shared", *tags}
    for file, tag in tags.items():
        text = (folder / "shared.yaml").read_text() + (folder / f"{file}.yaml").read_text()
        for path, item in yaml.safe_load(text)["paths"].items():
            described = [item[method]["tags"] for method in METHODS[:-1] if method in item]
            assert described, path
            assert all(tag in each for each in described), path


def test_a_path_that_two_files_define_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"tags": [{"name": "A"}, {"name": "B"}], "components": {}}
    monkeypatch.setattr(docs, "_part", lambda name: base if name == "base" else {"paths": {"/x": {}}})
    with pytest.raises(ValueError, match="/x"):
        docs.document.__wrapped__()


def test_its_version_is_the_packages() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert docs.document()["info"]["version"] == project["version"]


def test_yaml_made_nothing_of_it_that_json_does_not_have() -> None:
    for node in walk(docs.document()):
        assert type(node) in (dict, list, str, int, float, bool, type(None)), node
        assert not isinstance(node, dict) or all(type(key) is str for key in node), node


def test_every_schema_is_a_schema() -> None:
    for _, _, content in contents():
        Draft202012Validator.check_schema(content.get("schema", True))


def test_every_example_of_a_body_fits_its_schema() -> None:
    count = 0
    for where, _, content in contents():
        for example in examples_of(content):
            found = Schema(content["schema"]).errors(example)
            assert not found, (where, example, found)
            count += 1
    assert count > 100


def test_every_json_body_has_an_example() -> None:
    bare = [
        where
        for where, media_type, content in contents()
        if media_type.endswith("json") and "/openapi.json" not in where and not examples_of(content)
    ]
    assert not bare


def test_every_example_of_a_parameter_or_header_fits_its_schema() -> None:
    for _, _, operation in operations():
        headers = [
            header for response in operation["responses"].values() for header in response.get("headers", {}).values()
        ]
        for described in [*operation.get("parameters", []), *headers]:
            for example in examples_of(described):
                assert not Schema(described["schema"]).errors(example)


def test_replies_are_closed_and_say_which_keys_they_always_have() -> None:
    for where, schema in reply_schemas():
        for node in walk(schema):
            if isinstance(node, dict) and node.get("type") == "object" and "properties" in node:
                assert node.get("additionalProperties") is False, (where, node)
                assert set(node["required"]) <= node["properties"].keys(), (where, node)


def test_formats_are_checked_and_not_only_noted() -> None:
    used = {node["format"] for node in walk(docs.document()) if isinstance(node, dict) and "format" in node}
    assert used == {"uuid", "date-time"}
    assert used <= Draft202012Validator.FORMAT_CHECKER.checkers.keys()


def test_it_has_exactly_the_routes_that_the_application_has() -> None:
    app = create_app(bare_capabilities(), Unread(timeout_s=1, max_bytes=1))
    served = {
        re.sub(r"{\w*id}", "{id}", route.path.replace(":path", "").replace(":id}", "}")): {
            method.method for method in route.methods if not method.internal and method.method != "HEAD"
        }
        for route in falcon.inspect.inspect_routes(app)
        if not is_console(route.path)  # the same handlers once more, for its own page alone
    }
    documented: dict[str, set[str]] = {}
    for path, method, _ in operations():
        documented.setdefault(path, set()).add(method.upper())
    assert documented == served


def test_its_limits_are_the_settings_defaults() -> None:
    settings = Settings()
    event = SCHEMAS["FluxEvent"]["properties"]
    assert event["name"]["maxLength"] == settings.max_name_chars
    assert event["user_id"]["maxLength"] == settings.max_id_chars
    assert event["tags"]["maxProperties"] == settings.max_tags
    assert event["tags"]["additionalProperties"]["maxLength"] == settings.max_tag_chars
    assert SCHEMAS["BricqsEvent"]["properties"]["event_name"]["maxLength"] == bricqs.MAX_NAME_CHARS
    assert SCHEMAS["BricqsBatch"]["properties"]["events"]["maxItems"] == bricqs.MAX_BATCH
    assert SCHEMAS["SoluteBatch"]["properties"]["batch"]["maxItems"] == solute.MAX_BATCH
    assert SCHEMAS["FluxBatch"]["oneOf"][1]["maxItems"] == flux.MAX_BATCH
    assert SCHEMAS["FluxList"]["properties"]["data"]["maxItems"] == flux_queries.MAX_LIMIT
    assert SCHEMAS["FluxCount"]["properties"]["data"]["properties"]["groups"]["maxProperties"] == MAX_GROUPS
    assert SCHEMAS["HogsendList"]["properties"]["events"]["maxItems"] == hogsend.MAX_LIMIT
    assert SCHEMAS["HogsendReplay"]["properties"]["eventIds"]["maxItems"] == MAX_REPLAY
    parameters = RESOLVED["paths"]["/api/v1/events/count"]["get"]["parameters"]
    interval = next(parameter for parameter in parameters if parameter["name"] == "interval")
    assert interval["schema"]["enum"] == list(INTERVALS)


# ---- errors


def kinds(kind: type[HeadraceError] = HeadraceError) -> Iterator[type[HeadraceError]]:
    """Every class of the tree below its root; those that an adapter adds for itself have the words of these."""
    for each in kind.__subclasses__():
        if each.__module__ == errors.__name__:
            yield each
            yield from kinds(each)


def an_error(kind: type[HeadraceError]) -> HeadraceError:
    if kind is errors.MethodNotAllowed:
        return errors.MethodNotAllowed("PUT", ("GET", "OPTIONS"))
    if kind is errors.EventsRejected:
        return errors.EventsRejected("m", [(0, "'time' is wrong"), (3, "'user_id' is required")])
    return errors.RateLimited(10, 60, 12) if kind is errors.RateLimited else kind()


LIMITED = {
    "X-RateLimit-Limit": "10",
    "X-RateLimit-Remaining": "0",
    "X-RateLimit-Reset": "1705314660",
    "RateLimit": '"flux_batch";r=0;t=12',
    "RateLimit-Policy": '"flux_batch";q=10;w=60',
}

DIALECTS = {
    dialect.name: (
        dialect,
        tuple(
            re.sub(r"{[^}]*}", "x", route.path)
            for route in dialect.routes
            if not (
                isinstance(route.does, Ingest) and route.does.is_claimant
            )  # only the body tells whose words it gets
        ),
    )
    for dialect in table.DIALECTS
}

NOWHERE = {
    "native": "/api/v1/rules/no/where",
    "segment": "/v1/track/nowhere",
    "posthog": "/e/nowhere",
    "mixpanel": "/track/x",
    "cloudevents": "/v1/cloudevents/x",
}


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind is not errors.SettingsError])
def test_every_error_is_documented_in_the_words_of_every_dialect(name: str, kind: type[HeadraceError]) -> None:
    dialect, paths = DIALECTS[name]
    error = an_error(kind)
    accepted = {
        (method, path)
        for path in (*paths, NOWHERE.get(name, f"{paths[0].rsplit('/', 1)[0]}/nowhere"))
        for method in ("GET", "POST", "PUT")
        if passes(method, path, dialect, error)
    }
    takes_bodies = any(find(path).operations.keys() & {"post", "put"} for path in paths)  # pyright: ignore
    assert accepted or (issubclass(kind, errors.PayloadTooLarge) and not takes_bodies)


@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.parametrize(
    "kind", [errors.MissingKey, errors.InvalidKey, errors.Forbidden, errors.RateLimited, errors.Unavailable]
)
def test_every_route_documents_what_any_route_may_answer(name: str, kind: type[HeadraceError]) -> None:
    dialect, paths = DIALECTS[name]
    for path in paths:
        documented = find(path)
        assert documented is not None
        for method in documented.operations.keys() - {"options"}:
            assert passes(method.upper(), path, dialect, an_error(kind)), (method, path)


def passes(method: str, path: str, dialect: Dialect, error: HeadraceError) -> bool:
    resp = falcon.asgi.Response()
    PROBLEMS.answer(resp, path, error)
    headers = dict(resp.headers) | (LIMITED if isinstance(error, errors.RateLimited) else {})
    assert resp.data == dialect.render_error(error, int(status_of(error, dialect)))
    if "allow" in headers:
        headers["allow"] = allowed_at(path)
    try:
        check(method, path, int(status_of(error, dialect)), headers, resp.data or b"")
    except AssertionError:
        return False
    return True


def allowed_at(path: str) -> str:
    found = find(path)
    return ", ".join(sorted(found.operations)).upper() if found else "GET"


# ---- the validator

JSON = {"Content-Type": "application/json"}
ROW: dict[str, object] = {
    "id": f"evt_{'0' * 32}",
    "name": "n",
    "timestamp": "2024-01-15T10:30:00Z",
    "user_id": None,
    "value": 1.5,
    "properties": {"any": [1, None]},
    "tags": {"k": "v"},
}
HOGSEND_ROW: dict[str, object] = {
    "id": "550e8400-e29b-41d4-a716-446655440000",
    "userId": None,
    "event": "n",
    "properties": {},
    "occurredAt": "2025-01-15T10:30:00.000Z",
}
META = {"total": 1, "limit": 100, "offset": 0}


def without(given: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != key}


def flux_list(**changes: object) -> dict[str, object]:
    return {"data": [ROW | changes], "meta": META}


def hogsend_list(**changes: object) -> dict[str, object]:
    return {"events": [HOGSEND_ROW | changes], "total": 1, "limit": 50, "offset": 0}


@pytest.mark.parametrize(
    ("method", "path", "status", "body"),
    [
        ("GET", "/api/v1/events", 200, flux_list()),
        ("GET", "/api/v1/events/", 200, flux_list()),
        ("GET", "/api/v1/events", 200, flux_list(timestamp="2024-01-15T10:30:00.120Z")),
        ("GET", "/api/v1/events/count", 200, {"data": {"total": 0}}),
        ("GET", "/api/v1/events/evt_x", 404, {"error": {"code": "not_found", "message": "m"}}),
        ("GET", "/v1/admin/events", 200, hogsend_list()),
        ("GET", "/v1/admin/events/names", 200, {"note": "m", "events": []}),
        ("GET", "/health/", 200, {"status": "ok"}),
        ("GET", "/api/v1/nowhere", 404, {"error": {"code": "not_found", "message": "m"}}),
        ("GET", "/api/v1/ingest", 404, {"detail": "m"}),
        ("GET", "/ingest/x", 404, {"detail": "m"}),
        ("GET", "/api/x", 404, {"error": {"code": "NOT_FOUND", "message": "m", "details": {}}, "statusCode": 404}),
        ("GET", "/v1", 404, {"error": "m"}),
        ("HEAD", "/v1", 404, None),
    ],
)
def test_a_reply_as_documented_passes(method: str, path: str, status: int, body: object) -> None:
    check(method, path, status, JSON, b"" if body is None else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("method", "path", "status", "body", "says"),
    [
        ("GET", "/api/v1/events", 200, flux_list(more=1), "Additional properties"),
        ("GET", "/api/v1/events", 200, {"data": [without(ROW, "tags")], "meta": META}, "'tags' is a required property"),
        ("GET", "/api/v1/events", 200, flux_list(timestamp="2024-01-15T10:30:00.000Z"), "does not match"),
        ("GET", "/api/v1/events", 200, flux_list(timestamp="2024-02-30T10:30:00Z"), "is not a 'date-time'"),
        ("GET", "/api/v1/events", 200, flux_list(id=f"evt_{'A' * 32}"), "does not match"),
        ("GET", "/api/v1/events", 200, flux_list(user_id=""), "should be non-empty"),
        ("GET", "/api/v1/events", 200, flux_list(tags={"k": 1}), "is not of type 'string'"),
        ("GET", "/api/v1/events", 200, {"data": [], "meta": META | {"total": 1.0}}, "is not of type 'integer'"),
        ("GET", "/api/v1/events", 201, flux_list(), "the document has only"),
        ("GET", "/api/v1/events", 405, {"error": {"code": "invalid_request", "message": "m"}}, "should not be 405"),
        ("GET", "/api/v1/events/count", 200, {"data": {"total": 1, "groups": {"a": 0}}}, "less than the minimum"),
        ("GET", "/api/v1/events/count", 200, {"data": {"total": 1}, "meta": {"truncated": True}}, "'groups' is a req"),
        (
            "GET",
            "/api/v1/events/stats",
            200,
            {"data": dict.fromkeys(("count", "sum", "min", "max", "avg", "p50", "p95", "p99"), 0)},
            "is not of type 'null'",
        ),
        ("GET", "/v1/admin/events", 200, hogsend_list(occurredAt="2025-01-15T10:30:00Z"), "does not match"),
        ("GET", "/v1/admin/events", 200, hogsend_list(id=f"evt_{'0' * 32}"), "does not match"),
        ("GET", "/v1/admin/events/names", 200, {"event": HOGSEND_ROW}, "'note' is a required property"),
        ("GET", "/v1/admin/events/x", 404, {"error": "There is no event"}, "was expected"),
        ("GET", "/health", 200, {"status": "fine"}, "was expected"),
        ("GET", "/nowhere", 404, {"error": "m"}, "the content type"),
        ("GET", "/nowhere", 200, {}, "should be 404"),
        ("GET", "/api/nowhere", 404, {"error": "m"}, "does not fit"),
        ("PUT", "/health", 200, {"status": "ok"}, "should be 405"),
        ("POST", "/api/v1/ingest/events", 202, {"accepted": True, "message_id": "1-0"}, "Access-Control"),
        ("GET", "/v1/admin/events", 503, {"error": "m"}, "the header Retry-After is missing"),
        ("GET", "/v1/admin/events", 401, {"error": "Unauthorized"}, "the header WWW-Authenticate is missing"),
    ],
)
def test_a_reply_that_is_not_as_documented_fails(method: str, path: str, status: int, body: object, says: str) -> None:
    with pytest.raises(AssertionError, match=re.escape(says)):
        check(method, path, status, JSON, json.dumps(body).encode())


CORS = {"Access-Control-Allow-Origin": "*"}


@pytest.mark.parametrize(
    ("path", "status", "good", "bad"),
    [
        (
            "/ingest/events/batch",
            202,
            {"accepted": 1, "rejected": 1, "message_ids": ["1-0"], "errors": [{"index": 0, "error": "e"}]},
            {"accepted": 1, "rejected": 1, "message_ids": ["1-0"]},
        ),
        (
            "/api/v1/events/batch",
            201,
            {"data": {"accepted": 1, "rejected": 0}},
            {"data": {"accepted": 1, "rejected": 0, "errors": [{"index": 0, "code": "missing_name", "message": "m"}]}},
        ),
        (
            "/api/events",
            200,
            {"success": False, "processed": 0, "failed": 1, "errors": [{"index": 0, "error": "e"}]},
            {"success": True, "processed": 0, "failed": 1, "errors": [{"index": 0, "error": "e"}]},
        ),
    ],
)
def test_the_counts_of_a_batch_and_its_errors_agree(path: str, status: int, good: object, bad: object) -> None:
    check("POST", path, status, JSON | CORS, json.dumps(good).encode())
    with pytest.raises(AssertionError):
        check("POST", path, status, JSON | CORS, json.dumps(bad).encode())


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Limit": "60"},
        LIMITED | {"X-RateLimit-Limit": "many"},
        LIMITED | {"RateLimit": "limit=10"},
        {"Content-Type": "text/plain"},
    ],
)
def test_wrong_headers_fail(headers: dict[str, str]) -> None:
    body = json.dumps(flux_list()).encode()
    check("GET", "/api/v1/events", 200, JSON | LIMITED, body)
    with pytest.raises(AssertionError):
        check("GET", "/api/v1/events", 200, JSON | headers, body)


@pytest.mark.parametrize("body", [b"", b"{", b'{"status":"ok"} x', b'{"status":NaN}', b"\xff"])
def test_a_body_that_is_no_json_fails(body: bytes) -> None:
    with pytest.raises(AssertionError, match="is no JSON"):
        check("GET", "/health", 200, JSON, body)


def test_allow_names_what_the_document_has() -> None:
    body = b'{"error":{"code":"invalid_request","message":"m"}}'
    check("PUT", "/api/v1/events", 405, JSON | {"Allow": "GET, HEAD, POST, OPTIONS"}, body)
    with pytest.raises(AssertionError, match="Allow"):
        check("PUT", "/api/v1/events", 405, JSON | {"Allow": "POST, OPTIONS"}, body)
    check("OPTIONS", "/health", 200, {"Allow": "GET, HEAD"}, b"")
    with pytest.raises(AssertionError, match="Allow"):
        check("OPTIONS", "/health", 200, {}, b"")


# ---- the viewer


@pytest.fixture(scope="module")
def viewer() -> falcon.testing.TestClient:
    app = falcon.asgi.App()
    app.req_options.strip_url_path_trailing_slash = True
    PROBLEMS.install(app, lambda _error: None)
    for path, resource in docs.routes():
        app.add_route(path, resource)
    return falcon.testing.TestClient(app)


def get(viewer: falcon.testing.TestClient, address: str) -> falcon.testing.Result:
    """The reply, which the document describes."""
    result = viewer.simulate_get(address)
    check("GET", falcon.uri.decode(address.partition("?")[0]), result.status_code, result.headers, result.content)
    return result


class _Page(HTMLParser):
    """What a page refers to, and what scripts and styles it has of its own."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        for name, value in attrs:
            if name in ("src", "href") and value:
                self.addresses.append(value)
            if name.startswith("on") or name == "style":
                self.inline.append(name)

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style") and data.strip():
            self.inline.append(data)


def test_the_document_is_served_whole(viewer: falcon.testing.TestClient) -> None:
    assert get(viewer, "/openapi.json").json == docs.document()


def test_the_page_is_made_of_local_files_that_are_all_served(viewer: falcon.testing.TestClient) -> None:
    reply = get(viewer, "/docs")
    page = _Page(reply.text)
    assert page.inline == []
    assert "//" not in reply.text.replace("<!--", "")
    assert len(page.addresses) == 6
    for address in page.addresses:
        assert address.startswith("/")
        assert get(viewer, address).status_code == 200
    files = {address.partition("?")[0] for address in page.addresses} - {"/openapi.json"}
    enum = RESOLVED["paths"]["/docs/{file}"]["get"]["parameters"][0]["schema"]["enum"]
    assert files == {f"/docs/{file}" for file in enum}


def test_the_page_may_load_nothing_from_elsewhere(viewer: falcon.testing.TestClient) -> None:
    policy = get(viewer, "/docs").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy
    assert "unsafe" not in policy


def test_the_start_script_names_only_this_server(viewer: falcon.testing.TestClient) -> None:
    script = get(viewer, "/docs/start.js").text
    assert 'url: "/openapi.json"' in script
    assert "://" not in script


def test_the_viewer_knows_openapi_3_1(viewer: falcon.testing.TestClient) -> None:
    bundle = get(viewer, "/docs/swagger-ui-bundle.js").text
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', bundle)
    assert version is not None
    assert int(version[1]) >= 5


def test_a_file_may_be_kept_because_its_address_names_its_content(viewer: falcon.testing.TestClient) -> None:
    addresses = _Page(get(viewer, "/docs").text).addresses
    assert all(re.search(r"\?v=[0-9a-f]{12}$", each) for each in addresses if each.startswith("/docs/"))
    assert "immutable" in get(viewer, "/docs/swagger-ui.css").headers["cache-control"]
    assert "immutable" not in get(viewer, "/docs").headers["cache-control"]


@pytest.mark.parametrize(
    "address",
    [
        "/docs/swagger-editor.js",
        "/docs/swagger-initializer.js",
        "/docs/LICENSE",
        "/docs/..",
        "/docs/../__init__.py",
        "/docs/..%2f__init__.py",
        "/docs/%2e%2e%2f__init__.py",
        "/docs/..%5c__init__.py",
        "/docs/%2fetc%2fpasswd",
        "/docs//etc/passwd",
        "/docs/swagger-ui.css%00",
        "/docs/Swagger-UI.css",
        "/docs/swagger-ui.css/x",
        "/docs/%20",
    ],
)
def test_no_other_file_is_served(viewer: falcon.testing.TestClient, address: str) -> None:
    assert get(viewer, address).status_code == 404


def test_other_methods_are_refused(viewer: falcon.testing.TestClient) -> None:
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        reply = viewer.simulate_post(path)
        check("POST", path, reply.status_code, reply.headers, reply.content)
