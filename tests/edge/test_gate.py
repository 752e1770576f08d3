"""The first step of each route: who is let in, what the reply says of the limit, and what becomes of questions."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import falcon.asgi
import pytest
from falcon.testing import create_asgi_req

from headrace.http.gate import KeyGate, parameters, unless_hung_up
from headrace.http.scope import HUNG_UP, RATE_HEADERS
from headrace.http.strict import Strict
from headrace.model.allowance import Allowance
from headrace.model.errors import Forbidden, InvalidKey, InvalidRequest, RateLimited, Unavailable
from headrace.model.event import Tenant

TENANT = Tenant("p", "live")
ALLOWANCE = Allowance("flux_query", 60, 60, 59, 7, 1_700_000_007)


class GivenAdmission:
    def __init__(self, allowance: Allowance | None = None, error: Exception | None = None) -> None:
        self._allowance, self._error = allowance, error
        self.limits: list[str] = []

    async def admit(self, _shown: object, _scope: str, limit: str, /) -> Any:
        self.limits.append(limit)
        if self._error:
            raise self._error
        return SimpleNamespace(tenant=TENANT, allowance=self._allowance)


class GivenUnread:
    has_room = True

    def require_room(self) -> None:
        if not self.has_room:
            raise Unavailable("unread")


class Response:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}

    def set_headers(self, headers: dict[str, str]) -> None:
        self.headers |= headers


def request(query: str = "", template: str = "/api/v1/events") -> Any:
    return SimpleNamespace(query_string=query, scope={}, method="GET", uri_template=template)


def admit(
    admission: GivenAdmission, query: str = "", scope: Any = "query", strict: Strict | None = None
) -> tuple[Any, Any, Any]:
    gate, req, resp = KeyGate(admission, None, None, strict), request(query), Response()  # type: ignore[arg-type]
    return asyncio.run(gate.admit(req, resp, None, scope, "flux_query")), req, resp  # type: ignore[arg-type]


def test_who_is_let_in_is_told_what_is_left() -> None:
    admitted, req, resp = admit(GivenAdmission(ALLOWANCE))
    assert admitted.tenant == TENANT
    assert (resp.headers["X-RateLimit-Limit"], resp.headers["X-RateLimit-Remaining"]) == ("60", "59")
    assert resp.headers["RateLimit"] == f'"flux_query";r=59;t={ALLOWANCE.reset_s}'
    assert resp.headers["RateLimit-Policy"] == '"flux_query";q=60;w=60'
    assert req.scope[RATE_HEADERS] == resp.headers


def test_a_route_without_a_limit_says_nothing_of_one() -> None:
    _, req, resp = admit(GivenAdmission())
    assert (resp.headers, req.scope) == ({}, {})


@pytest.mark.parametrize("allowance", [ALLOWANCE, None])
def test_who_is_over_the_limit_is_told_so_with_what_is_left_where_that_is_known(allowance: Allowance | None) -> None:
    gate, req, resp = (
        KeyGate(GivenAdmission(error=RateLimited(60, 60, 7, allowance)), None, None),
        request(),
        Response(),
    )  # type: ignore[arg-type]
    with pytest.raises(RateLimited):
        asyncio.run(gate.admit(req, resp, None, "query", "flux_query"))  # type: ignore[arg-type]
    assert bool(resp.headers) is (allowance is not None)


def test_only_routes_that_do_not_take_events_refuse_parameters_that_they_do_not_know() -> None:
    strict = Strict()
    for scope in ("query", "admin"):
        with pytest.raises(InvalidRequest, match="nmae"):
            admit(GivenAdmission(), "nmae=x", scope, strict)
        admit(GivenAdmission(), "nmae=x", scope)
    admit(GivenAdmission(), "nmae=x", "ingest", strict)
    admit(GivenAdmission(), "name=x", "query", strict)


def test_parameters_keep_their_order_and_their_empty_values() -> None:
    assert parameters(request("b=1&a=&b=2&c=%20")) == [("b", "1"), ("a", ""), ("b", "2"), ("c", " ")]
    assert len(parameters(request("&".join(f"a{number}=1" for number in range(200))))) == 200
    with pytest.raises(InvalidRequest, match="more than 200"):
        parameters(request("&".join(f"a{number}=1" for number in range(201))))
    with pytest.raises(InvalidRequest, match="not UTF-8"):
        parameters(request("a=%ff"))


def with_key(secret: str) -> Any:
    return create_asgi_req(headers={"X-API-Key": secret})


def test_a_response_that_goes_on_is_for_the_tenant_that_its_key_admits_to_and_counts_against_no_limit() -> None:
    admission = GivenAdmission(ALLOWANCE)
    gate = KeyGate(admission, None, None)  # type: ignore[arg-type]

    def still_admits(tenant: Tenant) -> bool:
        return asyncio.run(gate.still_admits(with_key("k"), tenant, "query"))

    asked = (TENANT, Tenant("p", "test"), Tenant("q", "live"))
    assert [still_admits(tenant) for tenant in asked] == [True, False, False]
    assert admission.limits == ["", "", ""]


@pytest.mark.parametrize("error", [InvalidKey(), Forbidden("no scope")])
def test_a_response_that_goes_on_ends_once_its_key_admits_no_more(error: Exception) -> None:
    gate = KeyGate(GivenAdmission(error=error), None, None)  # type: ignore[arg-type]
    assert not asyncio.run(gate.still_admits(with_key("k"), TENANT, "query"))


def test_a_response_that_goes_on_does_not_end_because_keys_cannot_be_looked_up() -> None:
    gate = KeyGate(GivenAdmission(error=Unavailable()), None, None)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        asyncio.run(gate.still_admits(with_key("k"), TENANT, "query"))


def test_requests_are_told_apart_by_their_keys_which_nobody_can_read_from_that() -> None:
    gate = KeyGate(GivenAdmission(), None, None)  # type: ignore[arg-type]
    owners = [gate.owner_of(with_key(secret), "query") for secret in ("one", "one", "other", "\xff")]
    assert owners[0] == owners[1]
    assert len(set(owners)) == 3
    assert "one" not in owners[0]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
def test_only_answers_to_get_carry_a_tag_and_whoever_names_it_has_the_answer(method: str) -> None:
    async def ask(question: Callable[[Any], Any], _by: object) -> Any:
        return question(None)

    def answer(named: str) -> Any:
        gate, resp = KeyGate(None, ask, GivenUnread()), falcon.asgi.Response()  # type: ignore[arg-type]
        req = create_asgi_req(method=method, headers={"If-None-Match": named})
        asyncio.run(gate.answer(req, resp, TENANT, lambda _: b"body"))
        return resp

    first = answer('"another"')
    tag = first.get_header("ETag")
    assert (first.data, bool(tag)) == (b"body", method != "POST")
    again = answer(tag or "*")
    assert (again.data, again.status) == ((b"body", "200 OK") if method == "POST" else (None, "304 Not Modified"))


def test_a_question_is_asked_only_where_there_is_room_for_its_answer() -> None:
    unread = GivenUnread()

    async def ask(question: Callable[[Any], Any], _by: object) -> Any:
        return question("the reader")

    gate = KeyGate(None, ask, unread)  # type: ignore[arg-type]
    assert asyncio.run(gate.ask(request(), TENANT, lambda reader: f"asked {reader}")) == "asked the reader"
    unread.has_room = False
    with pytest.raises(Unavailable, match="unread"):
        asyncio.run(gate.ask(request(), TENANT, lambda _: pytest.fail("there is no room")))


def test_a_question_ends_when_its_client_hangs_up_and_only_then_is_it_the_clients_doing() -> None:
    async def run() -> None:
        req = request()
        ended = asyncio.Event()

        async def work() -> str:
            try:
                await asyncio.sleep(3600)
            finally:
                ended.set()
            return ""

        asked = asyncio.ensure_future(unless_hung_up(req, work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        req.scope.pop(HUNG_UP)()  # as the connection does
        with pytest.raises(Unavailable, match="hung up"):
            await asked
        assert ended.is_set()
        cut = asyncio.ensure_future(unless_hung_up(req, work()))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        cut.cancel()  # the request itself is cut: nobody is there to be answered
        with pytest.raises(asyncio.CancelledError):
            await cut
        assert await unless_hung_up(req, asyncio.sleep(0, "done")) == "done"
        assert HUNG_UP not in req.scope

    asyncio.run(run())
