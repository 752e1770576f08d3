"""Keys on both databases: rotation, the keys of one tenant, and when they were last used."""

from collections.abc import Callable

import msgspec
import pytest
from sqlalchemy import Engine

from headrace.control import api_keys
from headrace.control.api_keys import Keys
from headrace.control.tenant_keys import ControlTenantKeys
from headrace.model.errors import Conflict, InvalidRequest, NotFound
from headrace.model.event import Tenant
from headrace.model.keys import Key, KeyUse
from tests.contracts.rivals import Rival, before

NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
SHOP = Tenant("shop", "live")
named_by = pytest.mark.parametrize(
    "name", [lambda key, _: key.id, lambda key, _: key.prefix, lambda _, secret: secret], ids=["id", "prefix", "secret"]
)


@named_by
def test_a_rotation_makes_an_equal_key_and_the_former_one_goes_on_for_a_while(
    engine: Engine, name: Callable[[Key, str], str]
) -> None:
    keys = Keys(engine)
    key, secret = keys.create(
        "shop", "live", "publishable", None, NOW_MS, origins=["https://a.example"], name="the shop's pages"
    )
    made, new_secret, former = keys.rotate(name(key, secret), NOW_MS + 5, 1000)
    assert (made.tenant, made.style, made.scopes, made.origins, made.name) == (
        *(key.tenant, key.style, key.scopes, key.origins, key.name),
    )
    assert (made.created_at_ms, made.expires_at_ms, made.replaced_by) == (NOW_MS + 5, None, "")
    assert (former.id, former.expires_at_ms, former.replaced_by) == (key.id, NOW_MS + 1005, made.id)
    assert (keys.find(new_secret), keys.find(secret)) == (made, former)
    assert former.works_at(NOW_MS + 1004)
    assert not former.works_at(NOW_MS + 1005)
    assert new_secret.startswith(made.prefix)


def test_a_key_that_expires_gets_a_successor_that_lives_as_long_and_is_not_prolonged(engine: Engine) -> None:
    keys = Keys(engine)
    key, _ = keys.create("shop", "live", "flux", None, NOW_MS, NOW_MS + 30 * DAY_MS)
    made, _, former = keys.rotate(key.id, NOW_MS + 29 * DAY_MS, 7 * DAY_MS)
    assert made.expires_at_ms == NOW_MS + 59 * DAY_MS
    assert former.expires_at_ms == key.expires_at_ms
    other, _, _ = keys.rotate(made.id, NOW_MS + 30 * DAY_MS, 0, NOW_MS + 31 * DAY_MS)
    assert other.expires_at_ms == NOW_MS + 31 * DAY_MS


@pytest.mark.parametrize("expires_at_ms", [NOW_MS, 1, 10**16])
def test_a_successor_that_would_not_work_is_refused_and_nothing_changes(engine: Engine, expires_at_ms: int) -> None:
    keys = Keys(engine)
    key, _ = keys.create("shop", "live", "flux", None, NOW_MS)
    with pytest.raises(InvalidRequest, match="future"):
        keys.rotate(key.id, NOW_MS, 0, expires_at_ms)
    assert keys.list() == (key,)


def test_a_key_is_rotated_once_and_only_while_it_works(engine: Engine) -> None:
    keys = Keys(engine)
    key, _ = keys.create("shop", "live", "flux", None, NOW_MS)
    made, _, _ = keys.rotate(key.id, NOW_MS, 1000)
    with pytest.raises(Conflict, match=made.id):
        keys.rotate(key.id, NOW_MS, 1000)
    keys.revoke(made.id, NOW_MS)
    with pytest.raises(Conflict, match="create a new one"):
        keys.rotate(made.id, NOW_MS, 1000)
    expired, _ = keys.create("shop", "live", "flux", None, NOW_MS, NOW_MS + 1)
    with pytest.raises(Conflict, match="create a new one"):
        keys.rotate(expired.id, NOW_MS + 1, 1000)
    with pytest.raises(NotFound):
        keys.rotate("key_0000000000000000", NOW_MS, 1000)


def test_two_rotations_at_once_make_one_successor(engine: Engine, other: Engine) -> None:
    key, _ = Keys(engine).create("shop", "live", "flux", None, NOW_MS)
    rivals: list[Rival] = []

    def meet() -> None:
        rivals.append(Rival(lambda: Keys(other).rotate(key.id, NOW_MS, 1000)))
        rivals[0].wait_until_blocked(engine)

    before(engine, "INSERT INTO keys", meet)
    made, _, _ = Keys(engine).rotate(key.id, NOW_MS, 1000)
    with pytest.raises(Conflict, match=made.id):
        rivals[0].result()
    assert len(Keys(engine).list()) == 2


def test_there_is_a_greatest_number_of_working_keys(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "MOST_KEYS", 2)
    keys = Keys(engine)
    key, _ = keys.create("shop", "live", "flux", None, NOW_MS)
    keys.create("shop", "live", "flux", None, NOW_MS, NOW_MS + 10)
    with pytest.raises(Conflict, match="revoke some"):
        keys.create("shop", "live", "flux", None, NOW_MS)
    with pytest.raises(Conflict, match="revoke some"):
        keys.rotate(key.id, NOW_MS, 1000)
    keys.create("shop", "test", "flux", None, NOW_MS)
    keys.create("other", "live", "flux", None, NOW_MS)
    keys.create("shop", "live", "flux", None, NOW_MS + 10)
    keys.revoke(key.id, NOW_MS)
    keys.create("shop", "live", "flux", None, NOW_MS + 10)


@pytest.mark.parametrize("name", ["x" * 101, "a\nb", "\x00", "\u202e"])
def test_a_name_that_cannot_be_shown_is_refused(engine: Engine, name: str) -> None:
    with pytest.raises(InvalidRequest, match="at most 100 characters"):
        Keys(engine).create("shop", "live", "flux", None, NOW_MS, name=name)


def test_a_tenant_has_its_own_keys_page_by_page(engine: Engine) -> None:
    keys, own = Keys(engine), ControlTenantKeys(engine)
    for number in range(12):
        project, mode = ("shop", "other")[number % 3 == 0], ("live", "test")[number % 2]
        keys.create(project, mode, "flux", None, NOW_MS + number // 4)  # type: ignore[arg-type]
    revoked = next(each for each in keys.list() if each.tenant == SHOP)
    keys.revoke(revoked.id, NOW_MS + 20)
    wanted = [each for each in keys.list() if each.tenant == SHOP]
    found: list[Key] = []
    while page := own.page(SHOP, (found[-1].created_at_ms, found[-1].id) if found else (-1, ""), 2):
        found += page
    assert found == wanted
    for each in keys.list():
        if each.tenant == SHOP:
            assert own.get(SHOP, each.id) == each
        else:
            with pytest.raises(NotFound, match="There is no key"):
                own.get(SHOP, each.id)


def test_a_secret_in_place_of_an_id_is_not_repeated_in_the_error(engine: Engine) -> None:
    _, secret = Keys(engine).create("shop", "live", "flux", None, NOW_MS)
    with pytest.raises(NotFound) as refused:
        ControlTenantKeys(engine).get(SHOP, secret)
    assert secret not in str(refused.value)


def test_the_latest_use_is_kept_whoever_writes_last(engine: Engine) -> None:
    keys, own = Keys(engine), ControlTenantKeys(engine)
    one, _ = keys.create("shop", "live", "flux", None, NOW_MS)
    two, _ = keys.create("shop", "live", "flux", None, NOW_MS + 1)
    own.mark_used({one.id: NOW_MS + 10, "gone": 5})
    own.mark_used({one.id: NOW_MS + 5, two.id: NOW_MS + 7})
    assert [each.last_used_at_ms for each in keys.list()] == [NOW_MS + 10, NOW_MS + 7]


def test_what_a_key_is_used_for_adds_up_and_is_forgotten_after_its_time(engine: Engine) -> None:
    own = ControlTenantKeys(engine)
    one = KeyUse("one", NOW_MS, "flux", "POST /api/v1/events", "curl/8", 3, NOW_MS + 60)
    later = msgspec.structs.replace(one, requests=4, last_ms=NOW_MS + 120)
    others = [
        msgspec.structs.replace(one, client=""),
        msgspec.structs.replace(one, route="POST /api/v1/events/batch"),
        msgspec.structs.replace(one, kind="native"),
        msgspec.structs.replace(one, from_ms=NOW_MS - 1),
        msgspec.structs.replace(one, key_id="two"),
    ]
    own.count_uses([one, *others], 0)
    own.count_uses([later], 0)
    added = msgspec.structs.replace(one, requests=7, last_ms=NOW_MS + 120)
    assert sorted(own.uses("one", 0), key=repr) == sorted([added, *others[:4]], key=repr)
    assert sorted(own.uses("one", NOW_MS), key=repr) == sorted([added, *others[:3]], key=repr)
    assert own.uses("two", NOW_MS) == [others[4]]
    assert own.uses("three", 0) == []
    own.count_uses([], NOW_MS)
    assert {each.from_ms for each in own.uses("one", 0)} == {NOW_MS}
