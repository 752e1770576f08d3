"""The tables of routes: that they fit each other, the settings, the OpenAPI document, the README, and what `http/` can do."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from headrace.dialects.route import Ask, Asked, Dialect, Handled, Ingest, Route, Tell
from headrace.dialects.settings import ServerSettings
from headrace.dialects.table import DIALECTS, Owners
from headrace.http.docs import document
from headrace.http.handlers import handlers_of
from headrace.http.mount import Responders, mount
from headrace.model.event import Tenant, event_id
from headrace.model.keys import SCOPES
from headrace.model.settings import Settings
from headrace.pipeline.same_questions import identity_of
from tests.http.capabilities import bare_capabilities
from tests.openapi.validator import resolved

ROUTES = [(dialect, route) for dialect in DIALECTS for route in dialect.routes]
PATHS = resolved(document())["paths"]
README = (Path(__file__).parents[2] / "README.md").read_text()

each_route = pytest.mark.parametrize(
    ("dialect", "route"), ROUTES, ids=[f"{each.name} {route.method} {route.path}" for each, route in ROUTES]
)


class _Anything:
    def __getattr__(self, _name: str) -> Any:
        return self


ANYTHING: Any = _Anything()


@each_route
def test_a_route_has_a_limit_that_is_a_setting_and_a_scope_that_keys_have(dialect: Dialect, route: Route) -> None:
    assert route.limit in ServerSettings().limits()
    assert route.scope in SCOPES


def test_a_limit_belongs_to_one_dialect() -> None:
    names = [limit.name for dialect in DIALECTS for limit in dialect.limits]
    assert len(names) == len({*names})


@each_route
def test_a_route_that_reads_its_key_or_a_parameter_from_the_path_has_it_there(dialect: Dialect, route: Route) -> None:
    if isinstance(route.does, Tell) and route.does.key_in_path:
        assert f"{{{route.does.key_in_path}}}" in route.path


def test_what_is_handled_and_the_handlers_are_the_same() -> None:
    named = [route.does.by for _, route in ROUTES if isinstance(route.does, Handled)]
    assert sorted(named) == sorted(handlers_of(ANYTHING, bare_capabilities(), ANYTHING))


@each_route
def test_only_what_takes_events_and_what_sdks_ask_first_is_open_to_pages_of_any_origin(
    dialect: Dialect, route: Route
) -> None:
    assert route.for_browsers == isinstance(route.does, Ingest | Tell)
    assert route.scope == "ingest" or not route.for_browsers
    assert not isinstance(route.does, Ask) or route.scope in ("query", "admin")


# The OpenAPI document


def operation(route: Route) -> Any:
    path = re.sub(r"{\w*id}", "{id}", route.path.replace(":path", "").replace(":id}", "}"))
    return PATHS[path][route.method.lower()]


@each_route
def test_the_document_has_the_route_with_its_status_and_where_its_key_may_be(dialect: Dialect, route: Route) -> None:
    documented = operation(route)
    assert str(route.status) in documented["responses"]
    given = {name for way in documented["security"] for name in way}
    if isinstance(route.does, Tell) and route.does.key_in_path:
        assert given == set()
    else:
        assert given == {"bearer", "apiKey", "basic"} | ({"apiKeyQuery"} if route.scope == "ingest" else set())


@each_route
def test_the_document_says_which_replies_a_page_may_read(dialect: Dialect, route: Route) -> None:
    headers = operation(route)["responses"][str(route.status)].get("headers", {})
    assert ("Access-Control-Allow-Origin" in headers) == route.for_browsers


@each_route
def test_the_document_has_a_preflight_where_the_route_answers_one(dialect: Dialect, route: Route) -> None:
    path = re.sub(r"{\w*id}", "{id}", route.path.replace(":path", "").replace(":id}", "}"))
    at_path = [each for _, each in ROUTES if each.path == route.path]
    assert ("options" in PATHS[path]) == any(each.has_preflight for each in at_path)


# The README's table of routes

Named = tuple[str, str, str]
"""(scope, method, the end of a path with its parameters left empty)"""


def named_in_readme() -> Iterator[Named]:
    table = README.partition("| API | route | scope |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        _, text, scope = (cell.strip() for cell in line.strip().strip("|").split("|"))
        path = method = ""
        for code in re.findall(r"`([^`]+)`", text.replace("also without `/api/v1`", "")):
            found = re.fullmatch(r"(?:(GET|POST|PUT|PATCH|DELETE)(?:, )?)? ?(…?/\S*)?", code)
            if found is None:
                continue
            method, path = found[1] or method, (found[2] or "").removeprefix("…")
            if path:
                yield scope, method, _bare(path)
                if "`GET`, `PUT" in text:
                    yield scope, "GET", _bare(path)
                if "also without `/api/v1`" in text:
                    yield scope, method, _bare(path.removeprefix("/api/v1"))


def _bare(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


def _is(named: Named, route: Route) -> bool:
    scope, method, end = named
    return (route.scope, route.method) == (scope, method) and _bare(route.path).endswith(end)


def test_the_readme_has_every_route_with_its_scope_or_names_the_sdks_that_it_is_for() -> None:
    named = list(named_in_readme())
    table = README.partition("| API | route | scope |")[2].partition("\n\n")[0].lower()
    for dialect, route in ROUTES:
        if dialect.name in ("flux", "bricqs", "solute", "hogsend", "native"):
            assert any(_is(each, route) for each in named), route
        else:
            assert dialect.name in table
    for each in named:
        assert each[0] == "none" or any(_is(each, route) for _, route in ROUTES), each


# Whose words an error is put in


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        ("native", ("/", "", "/nowhere", "/health", "/metrics", "/internal/check", "/batches", "/v2", "/API/v1")),
        ("native", ("/api/v1/badges", "/api/v1/badges/x", "/api/v1/catalog/x/y", "/api/v1/effects", "/api/v1/facts/x")),
        ("native", ("/api/v1/participants", "/api/v1/participants/x/y", "/api/v1/points", "/api/v1/rules/no/where")),
        ("native", ("/api/v1/events/x/effects", "/api/v1/events/x/trace/", "/api/v1/events/count/trace/x")),
        ("flux", ("/api/v1", "/api/v1/", "/api/v1/nowhere", "/api/v1/events", "/api/v1/events/", "/api/v1/events/x/y")),
        ("flux", ("/api/v1/events//effects", "/api/v1/metrics/x/y", "/api/v1/flux", "/api/v1/ingestion")),
        ("bricqs", ("/api/v1/ingest", "/api/v1/ingest/x", "/ingest", "/ingest/x", "/ingest/events/batch/x")),
        ("solute", ("/api", "/api/", "/api/x", "/api/v2", "/api/events", "/api/feature-flags/x")),
        ("hogsend", ("/v1", "/v1/x", "/v1/admin", "/v1/admin/events/x/y", "/v1/events/x", "/v1/batches", "/v1/tx")),
        (
            "segment",
            ("/beacon", "/beacon/v1/batch", "/pixel/v1/track", "/v1/pixel/x", "/sourceConfig/", "/analytics.js/x"),
        ),
        ("segment", ("/v1/batch", "/v1/b/x", "/v1/import/", "/v1/projects", "/v1/projects/k", "/v1/t", "/v1/track/x")),
        ("posthog", ("/batch", "/batch/x", "/e/", "/i", "/i/x", "/i/v0/e/", "/capture/x", "/flags", "/decide/x")),
        ("posthog", ("/array", "/array/x", "/array/k/config.js", "/array/k/x")),
        ("amplitude", ("/2", "/2/x", "/2/httpapi/")),
        ("mixpanel", ("/track", "/track/x", "/import/", "/engage/x", "/groups")),
        ("cloudevents", ("/v1/cloudevents", "/v1/cloudevents/x")),
    ],
)
def test_an_address_is_in_the_dialect_of_the_longest_route_or_prefix_that_it_begins_with(
    name: str, paths: tuple[str, ...]
) -> None:
    [native] = [each for each in DIALECTS if each.name == "native"]
    owners = Owners(DIALECTS, otherwise=native)
    assert {path: owners.owner_of(path).name for path in paths} == dict.fromkeys(paths, name)


# What nobody may put into a table


def _toy(*routes: Route) -> Dialect:
    return Dialect("toy", lambda _error, _status: b"", routes)


TAKE: Callable[..., Any] = lambda *_: None  # noqa: E731


@pytest.mark.parametrize(
    "dialect",
    [
        _toy(*2 * (Route("POST", "/toy", "ingest", "native", Ingest(TAKE, TAKE)),)),
        _toy(Route("POST", "/toy", "ingest", "native", Ingest(TAKE, TAKE, claims=TAKE))),
        _toy(Route("GET", "/toy", "query", "native", Handled("nothing that there is"))),
    ],
    ids=["two routes at one place", "a route that claims from nobody", "a handler that there is not"],
)
def test_a_table_that_cannot_be_served_keeps_the_server_from_starting(dialect: Dialect) -> None:
    with pytest.raises((ValueError, KeyError)):
        mount(ANYTHING, [dialect], Responders(ANYTHING, ANYTHING, Settings(), ANYTHING, {}, ANYTHING, ANYTHING))


@pytest.mark.parametrize(
    "route", [route for _, route in ROUTES if isinstance(route.does, Ask)], ids=lambda each: each.path
)
def test_what_a_route_asks_is_the_same_a_moment_later(route: Route) -> None:
    assert isinstance(route.does, Ask)
    path = dict.fromkeys(re.findall(r"{(\w+)}", route.path), event_id(1 << 20, 1))
    questions = [route.does.question(Asked(Tenant("p", "live"), path, [], now_ms)) for now_ms in (1, 2)]
    told = [identity_of(each) for each in questions]
    if route.path.endswith("/metrics/{metric}/query"):
        assert told[0] != told[1], "its range ends now"
    else:
        assert told[0] == told[1]
    assert identity_of(route.does.question(Asked(Tenant("p", "test"), path, [], 1))) != told[0]
