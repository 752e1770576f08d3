"""Who may use the console, by what a browser shows: with clocks that only the test moves, and without any web framework."""

import pytest

from headrace.model.console import IDLE_MS, LONGEST_MS, Session
from headrace.model.errors import Forbidden, InvalidKey, InvalidRequest, NoSession, NotFound, RateLimited, Unavailable
from headrace.model.event import Tenant
from headrace.model.keys import OPERATORS_KEY
from tests.console.visits import EVERY, NOW_MS, Visit, key, run


def test_a_code_opens_every_project_once_and_within_a_minute() -> None:
    visit = Visit()
    code, late = visit.console.new_code(), visit.console.new_code()
    visit.monotonic_s = 59.9
    token = visit.by_code(code)
    assert visit.find(token).is_operator
    assert visit.admit(token, "any", "test", "admin") == Tenant("any", "test")
    assert visit.admit(token) == Tenant("default", "live")
    with pytest.raises(InvalidKey):
        visit.by_code(code)
    visit.monotonic_s = 60.0
    with pytest.raises(InvalidKey):
        visit.by_code(late)


def test_only_the_latest_codes_are_kept_and_those_that_expired_take_no_room() -> None:
    visit = Visit()
    codes = [visit.console.new_code() for _ in range(21)]
    with pytest.raises(InvalidKey):
        visit.by_code(codes[0])
    assert visit.by_code(codes[1])
    visit.monotonic_s = 60.0
    visit.console.new_code()
    assert len(visit.console._codes) == 1


def test_a_session_is_asked_for_twice_a_second_at_most_and_what_was_revoked_shows_then() -> None:
    visit = Visit(key("shop"))
    token = visit.log_in("shop")
    visit.kept.finds = 0
    for _ in range(5):
        visit.find(token)
    assert visit.kept.finds == 1
    del visit.kept.keys["shop"]
    visit.now_ms += 499
    assert visit.find(token)
    visit.now_ms += 1
    with pytest.raises(NoSession):
        visit.find(token)
    assert not run(visit.console.still_admits(token, Tenant("shop", "live"), "query"))


def test_a_clock_that_goes_back_keeps_no_session_that_is_gone() -> None:
    visit = Visit(key("shop"))
    token = visit.log_in("shop")
    visit.find(token)
    visit.kept.sessions.clear()
    visit.now_ms -= 1
    with pytest.raises(NoSession):
        visit.find(token)


def test_a_session_ends_when_it_was_not_used_for_long_or_is_old_and_its_use_is_noted_once_a_minute() -> None:
    visit = Visit(key("shop"))
    token = visit.log_in("shop")
    visit.now_ms += 59_999
    own = visit.find(token)
    assert visit.kept.touched == []
    visit.now_ms += 1
    visit.find(token)
    visit.find(token)
    assert visit.kept.touched == [(own.id, NOW_MS + 60_000)]
    visit.now_ms += IDLE_MS - 1
    assert visit.find(token)
    visit.now_ms += IDLE_MS
    with pytest.raises(NoSession):
        visit.find(token)
    token = visit.log_in("shop")
    began_ms = visit.now_ms
    while visit.now_ms + IDLE_MS < began_ms + LONGEST_MS:
        visit.now_ms += IDLE_MS - 1
        assert visit.find(token)
    visit.now_ms = began_ms + LONGEST_MS
    with pytest.raises(NoSession):
        visit.find(token)


@pytest.mark.parametrize("token", ["", "x", "x" * 101, "\ud800"])
def test_a_token_that_is_none_opens_nothing(token: str) -> None:
    with pytest.raises(NoSession):
        Visit(key("shop")).find(token)


def test_another_key_gives_another_token_and_the_one_before_opens_nothing() -> None:
    visit = Visit(key("shop"), key("blog"))
    first = visit.log_in("shop")
    visit.find(first)
    second = visit.log_in("blog", first)
    with pytest.raises(NoSession):
        visit.find(first)
    assert [each.id for each in visit.find(second).keys] == ["blog", "shop"]
    third = visit.log_in("shop", second)
    assert [each.id for each in visit.find(third).keys] == ["shop", "blog"], "the same key is held once"
    operator = visit.by_code(visit.console.new_code(), third)
    assert [each.id for each in visit.find(operator).keys] == ["shop", "blog"]
    assert visit.find(visit.log_in("blog", operator)).is_operator
    assert len(visit.kept.sessions) == 1


def test_a_session_holds_twenty_keys() -> None:
    visit = Visit(*(key(f"k{number}") for number in range(21)))
    token = ""
    for number in range(21):
        visit.monotonic_s += 60
        token = visit.log_in(f"k{number}", token)
    assert [each.id for each in visit.find(token).keys] == [f"k{number}" for number in range(20, 0, -1)]


def test_a_key_without_the_scope_query_opens_nothing() -> None:
    visit = Visit(key("shop", frozenset({"ingest"})))
    with pytest.raises(Forbidden, match="requires 'query'"):
        visit.log_in("shop")
    assert not visit.kept.sessions


def test_a_request_is_bound_to_a_tenant_and_a_scope_of_its_keys() -> None:
    visit = Visit(key("shop", frozenset({"query"})), key("blog"))
    token = visit.log_in("shop", visit.log_in("blog"))
    assert visit.admit(token) == Tenant("shop", "live"), "the first is the one that was shown last"
    assert visit.admit(token, "blog", scope="admin") == Tenant("blog", "live")
    for project, mode, scope in (("shop", "", "admin"), ("blog", "test", "query"), ("other", "", "query")):
        with pytest.raises(Forbidden):
            visit.admit(token, project, mode, scope)  # type: ignore[arg-type]
        tenant = Tenant(project, mode or "live")  # type: ignore[arg-type]
        assert not run(visit.console.still_admits(token, tenant, scope))  # type: ignore[arg-type]
    assert run(visit.console.still_admits(token, Tenant("blog", "live"), "admin"))
    for project, mode in (("a/b", ""), ("x" * 101, ""), ("", "other")):
        with pytest.raises(InvalidRequest):
            visit.admit(token, project, mode)


def test_a_session_has_its_own_limit_which_still_admits_does_not_use() -> None:
    visit = Visit(key("shop"))
    token, other = visit.log_in("shop"), visit.log_in("shop")
    for _ in range(3):
        visit.admit(token)
        assert run(visit.console.still_admits(token, Tenant("shop", "live"), "query"))
    with pytest.raises(RateLimited):
        visit.admit(token)
    visit.admit(other)


def test_attempts_to_log_in_are_limited_by_address_whether_they_succeed_or_not() -> None:
    visit = Visit(key("shop"), attempts=2)
    code = visit.console.new_code()
    visit.log_in("shop")
    with pytest.raises(InvalidKey):
        visit.log_in("guessed")
    for attempt in (lambda: visit.log_in("shop"), lambda: visit.by_code(code)):
        with pytest.raises(RateLimited):
            attempt()
    assert visit.log_in("shop", address="::2")
    visit.monotonic_s += 60
    assert visit.log_in("shop")


def test_the_key_of_the_settings_opens_as_long_as_it_is_the_same() -> None:
    visit = Visit()
    token = visit.log_in("of the settings")
    [held] = visit.find(token).keys
    assert (held.id, held.tenant, held.scopes) == (OPERATORS_KEY, Tenant("default", "live"), EVERY)
    for admin_key in ("another", ""):
        with pytest.raises(NoSession):
            Visit(admin_key=admin_key, kept=visit.kept).find(token)
    hashed, (session, proof) = next(iter(visit.kept.sessions.items()))
    visit.kept.sessions[hashed] = (session, proof[::-1])
    with pytest.raises(NoSession):
        Visit(kept=visit.kept).find(token)


def test_the_proof_of_one_session_is_none_for_another() -> None:
    visit = Visit(key("shop"))
    operator, own = visit.log_in("of the settings"), visit.log_in("shop")
    assert visit.find(operator)
    stolen = next(proof for _, proof in visit.kept.sessions.values() if proof)
    visit.kept.sessions = {hashed: (session, stolen) for hashed, (session, _) in visit.kept.sessions.items()}
    assert [each.id for each in visit.find(own).keys] == ["shop"]


def test_what_a_session_opens_is_shown_by_the_key_with_the_most_scopes() -> None:
    few, many = key("few", frozenset({"query"}), project="shop"), key("many", project="shop")
    visit = Visit(few, many, key("blog", mode="test"))
    session = visit.find(visit.log_in("few", visit.log_in("many", visit.log_in("blog"))))
    opens = run(visit.console.opens(session))
    assert [(each.tenant, each.key) for each in opens] == [
        (Tenant("blog", "test"), "adm_blog"),
        (Tenant("shop", "live"), "adm_many"),
    ]
    operator = visit.find(visit.by_code(visit.console.new_code()))
    shown = run(visit.console.opens(operator))
    assert [each.tenant.project for each in shown] == ["default", "default", "shop", "shop"]
    assert {each.scopes for each in shown} == {EVERY}


def test_sessions_are_seen_and_ended_by_themselves_by_operators_and_by_whoever_administers_one_of_their_keys() -> None:
    reader = key("reader", frozenset({"query"}), project="shop")
    visit = Visit(key("shop"), key("blog"), reader)
    shop, read, blog = (visit.find(visit.log_in(each)) for each in ("shop", "reader", "blog"))
    operator = visit.find(visit.by_code(visit.console.new_code()))

    def seen(session: Session) -> set[str]:
        return {each.id for each in run(visit.console.listed(session))}

    assert seen(shop) == {shop.id, read.id}
    assert seen(read) == {read.id}
    assert seen(blog) == {blog.id}
    assert seen(operator) == {shop.id, read.id, blog.id, operator.id}
    for own, other in ((read, shop), (blog, shop), (shop, operator)):
        with pytest.raises(NotFound):
            run(visit.console.end(own, other.id))
    run(visit.console.end(shop, read.id))
    assert seen(operator) == {shop.id, blog.id, operator.id}


def test_a_session_that_is_too_far_down_to_be_listed_can_still_be_ended() -> None:
    visit = Visit(key("shop"))
    visit.kept.most_listed = 1
    first, other, own = (visit.find(visit.log_in("shop")) for _ in range(3))
    assert run(visit.console.listed(own)) == [first]
    run(visit.console.end(own, other.id))
    with pytest.raises(NotFound):
        run(visit.console.end(own, other.id))
    run(visit.console.end(own, own.id))
    run(visit.console.end(first, first.id))
    assert visit.kept.sessions == {}


def test_a_session_that_was_ended_opens_nothing_at_once() -> None:
    visit = Visit(key("shop"))
    token = visit.log_in("shop")
    session = visit.find(token)
    run(visit.console.end(session, session.id))
    with pytest.raises(NoSession):
        visit.find(token)


def test_where_control_cannot_be_asked_nobody_is_let_in_and_a_retry_may_help() -> None:
    visit = Visit(key("shop"))
    token = visit.log_in("shop")
    visit.kept.broken = True
    with pytest.raises(Unavailable):
        visit.find(token)
    visit.kept.broken = False
    assert visit.find(token)
