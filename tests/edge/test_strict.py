"""Parameters that a route does not take, by the document that describes it."""

from types import SimpleNamespace
from typing import Any

import pytest

from headrace.http.strict import Strict
from headrace.model.errors import InvalidRequest

STRICT = Strict()
LIST = "/api/v1/events"


def check(template: str, *pairs: tuple[str, str], method: str = "GET") -> None:
    req: Any = SimpleNamespace(method=method, uri_template=template)
    STRICT.check(req, pairs)


def test_what_a_route_documents_is_taken() -> None:
    check(LIST, ("name", "n"), ("limit", "5"), ("tags[plan]", "pro"), ("tags[x]", ""), ("properties[a b]", "1"))
    check(LIST, ("name", "n"), method="HEAD")
    check("/v1/admin/events", ("userId", "u"), ("from", "2025-01-01"))
    check("/api/v1/users/{whatever_it_is_called}/events", ("limit", "5"))
    check("/api/v1/rules", method="PUT")


def test_what_no_document_describes_takes_everything() -> None:
    check("/nowhere", ("x", "1"))
    check("", ("x", "1"))


@pytest.mark.parametrize(
    ("template", "name", "said"),
    [
        (LIST, "nmae", "did you mean 'name'"),
        (LIST, "tag[plan]", "did you mean 'tags[…]'"),
        (LIST, "name[x]", "There is no parameter 'name[x]'"),
        (LIST, "tags[plan", "There is no parameter 'tags[plan'"),
        (LIST, "interval", "There is no parameter 'interval' here; /api/v1/events/count has it."),
        (LIST, "userId", "There is no parameter"),
        (LIST, "x" * 500, f"There is no parameter '{'x' * 80}'"),
        ("/v1/admin/events", "user_id", "did you mean 'userId'"),
    ],
)
def test_a_parameter_that_a_route_does_not_take_is_refused_with_the_nearest_or_where_it_belongs(
    template: str, name: str, said: str
) -> None:
    for method in ("GET", "HEAD"):
        with pytest.raises(InvalidRequest) as refused:
            check(template, ("limit", "5"), (name, "1"), method=method)
        assert said in refused.value.message
    check(template, (name, ""))  # an empty value is an absent one
    with pytest.raises(InvalidRequest):
        check(template, ("name", ""), (name, ""), (name, "1"))


def test_a_parameter_with_two_values_is_refused_and_one_that_is_repeated_is_not() -> None:
    check(LIST, ("name", "n"), ("name", "n"), ("name", ""), ("tags[a]", "1"), ("tags[a]", "2"))
    with pytest.raises(InvalidRequest, match="'name' is given twice"):
        check(LIST, ("name", "n"), ("name", "m"))


def test_each_method_of_a_path_has_its_own_parameters() -> None:
    check("/api/v1/rules", ("dry_run", "true"), method="PUT")
    with pytest.raises(InvalidRequest):
        check("/api/v1/rules", ("dry_run", "true"))
