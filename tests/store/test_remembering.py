"""Each question of a remembering reader is the store's own, and its answer is kept for no more than what it was read from."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.model.event import Tenant
from headrace.model.filters import Filters
from headrace.model.zones import UTC_ZONE
from headrace.store.answers import Scope
from headrace.store.remembering import RememberingReader

TENANT = Tenant("p", "live")
FILTERS = Filters(from_ms=5, to_ms=9)
QUERY = SimpleNamespace(filters=FILTERS)
WHOLE, BETWEEN = Scope(TENANT), Scope(TENANT, 5, 9)
METRICS = Scope(TENANT.metrics)
# The scope is None where nothing is remembered.
QUESTIONS: dict[str, tuple[tuple[Any, ...], Scope | None]] = {
    "asking": (("running",), None),
    "cancel": (("running",), None),
    "get": ((TENANT, ["id"]), None),
    "oldest": ((TENANT, FILTERS, None, 7), None),
    "events": ((TENANT, FILTERS, "page"), BETWEEN),
    "count": ((TENANT, FILTERS, "1h", "name", UTC_ZONE), BETWEEN),
    "stats": ((TENANT, FILTERS, "value"), BETWEEN),
    "observed": ((TENANT, "name", 7, "search"), WHOLE),
    "catalog": ((TENANT, "page"), WHOLE),
    "metrics": ((TENANT,), METRICS),
    "metric": ((TENANT, "name"), METRICS),
    "measure": ((TENANT, QUERY), Scope(TENANT.metrics, 5, 9)),
    "seen_by_id": ((TENANT, ["u"]), WHOLE),
    "seen_by_name": ((TENANT, ["u"], 7), WHOLE),
    "measure_events": ((TENANT, QUERY), BETWEEN),
    "funnel": ((TENANT, QUERY), BETWEEN),
    "retention": ((TENANT, QUERY), BETWEEN),
    "paths": ((TENANT, QUERY), BETWEEN),
}


class GivenStore:
    """Answers with what it was asked, and within which scope."""

    scope: Scope | None = None

    @contextmanager
    def within(self, scope: Scope) -> Iterator[None]:
        self.scope = scope
        yield
        self.scope = None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *given: (name, given, self.scope)


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_question_is_the_stores_own_within_the_scope_of_what_it_reads(name: str) -> None:
    given, scope = QUESTIONS[name]
    answer = getattr(RememberingReader(GivenStore()), name)(*given)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert answer == (name, given, scope)


def test_every_question_is_among_these() -> None:
    reader = RememberingReader(GivenStore())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert {name for name in vars(reader) if not name.startswith("_")} == QUESTIONS.keys()
