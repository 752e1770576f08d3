"""Which secrets work at which moment, with a clock that only the test moves."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import Engine, text

from headrace.control.api_keys import Keys
from headrace.control.keyring import Keyring
from headrace.model.errors import InvalidKey, SettingsError, Unavailable
from headrace.model.event import Tenant
from headrace.model.keys import Key
from tests.control.conftest import Clock


@pytest.fixture
def keyring(keys: Keys, clock: Clock) -> Keyring:
    return Keyring(keys, "", clock)


def test_a_key_works_as_soon_as_it_is_created(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "test", "bricqs", None, clock())
    assert keyring.check(secret) == key


def test_a_key_works_as_soon_as_it_is_created_also_after_a_miss(
    engine: Engine, keys: Keys, keyring: Keyring, clock: Clock
):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE aside AS SELECT * FROM keys"))
        connection.execute(text("DELETE FROM keys"))
    with pytest.raises(InvalidKey):
        keyring.check(secret)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO keys SELECT * FROM aside"))
    assert keyring.check(secret) == key


def test_a_revoked_key_stops_within_a_second(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    keyring.check(secret)
    keys.revoke(key.id, clock())
    clock.now_ms += 499
    assert keyring.check(secret) == key
    clock.now_ms += 1
    assert keyring.cached(secret) is None
    with pytest.raises(InvalidKey):
        keyring.check(secret)


def test_a_keys_last_use_is_known_to_half_a_second_and_told_once(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    keys.create("shop", "live", "flux", None, clock())
    assert keyring.take_used() == {}
    for _ in range(11):
        keyring.cached(secret) or keyring.check(secret)
        last_ms = clock.now_ms
        clock.now_ms += 100
    used = keyring.take_used()
    assert used.keys() == {key.id}
    assert last_ms - 500 <= used[key.id] <= last_ms
    assert keyring.take_used() == {}


def test_what_is_refused_uses_no_key(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    keys.revoke(key.id, clock())
    with pytest.raises(InvalidKey):
        keyring.check(secret)
    assert keyring.take_used() == {}


def test_requests_that_come_at_once_look_a_key_up_once(
    keys: Keys, keyring: Keyring, clock: Clock, monkeypatch: pytest.MonkeyPatch
):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    look_up, looked_up = keys.find, []
    all_are_here = Barrier(8)

    def find(secret: str) -> Key | None:
        looked_up.append(secret)
        return look_up(secret)

    def check() -> Key:
        all_are_here.wait()
        return keyring.check(secret)

    monkeypatch.setattr(keys, "find", find)
    with ThreadPoolExecutor(8) as threads:
        found = [each.result() for each in [threads.submit(check) for _ in range(8)]]
    assert found == [key] * 8
    assert len(looked_up) == 1


def test_hits_in_between_do_not_lengthen_a_revoked_keys_life(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    keyring.check(secret)
    keys.revoke(key.id, clock())
    for _ in range(4):
        clock.now_ms += 100
        keyring.check(secret)
    clock.now_ms += 100
    with pytest.raises(InvalidKey):
        keyring.check(secret)


def test_an_expired_key_stops_at_once_although_it_is_remembered(keys: Keys, keyring: Keyring, clock: Clock):
    _, secret = keys.create("shop", "live", "flux", None, clock(), clock() + 10)
    keyring.check(secret)
    clock.now_ms += 10
    assert keyring.cached(secret) is None
    with pytest.raises(InvalidKey):
        keyring.check(secret)


def test_a_clock_set_back_does_not_keep_a_revoked_key_alive(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    keyring.check(secret)
    keys.revoke(key.id, clock())
    clock.now_ms -= 3_600_000
    with pytest.raises(InvalidKey):
        keyring.check(secret)


def test_cached_knows_only_what_was_checked_and_worked(keys: Keys, keyring: Keyring, clock: Clock):
    key, secret = keys.create("shop", "live", "flux", None, clock())
    assert keyring.cached(secret) is None
    keyring.check(secret)
    assert keyring.cached(secret) == key
    with pytest.raises(InvalidKey):
        keyring.check("unknown")
    assert keyring.cached("unknown") is None


def test_what_is_remembered_is_bounded_and_the_oldest_is_forgotten(keys: Keys, clock: Clock):
    keyring = Keyring(keys, "", clock, max_cached=2)
    secrets = [keys.create("shop", "live", "flux", None, clock())[1] for _ in range(3)]
    for secret in secrets:
        keyring.check(secret)
    assert [keyring.cached(secret) is not None for secret in secrets] == [False, True, True]
    assert keyring.check(secrets[0])


def test_the_admin_key_has_every_scope_on_the_default_project(keys: Keys, clock: Clock):
    keyring = Keyring(keys, "hunter2", clock)
    key = keyring.check("hunter2")
    assert key == keyring.cached("hunter2")
    assert (key.id, key.tenant) == ("env", Tenant("default", "live"))
    assert key.scopes == {"ingest", "query", "admin"}
    with pytest.raises(InvalidKey):
        keyring.check("hunter3")


def test_without_an_admin_key_the_empty_secret_is_no_key(keyring: Keyring):
    assert keyring.cached("") is None
    with pytest.raises(InvalidKey):
        keyring.check("")


def test_an_admin_key_that_no_request_could_carry_is_refused_at_start(keys: Keys, clock: Clock):
    Keyring(keys, "x" * 512, clock).check("x" * 512)
    with pytest.raises(SettingsError, match="HEADRACE_ADMIN_KEY"):
        Keyring(keys, "x" * 513, clock)
    for secret in (" x", "x\n", "x\r", "a\tb", "ключ", "\x00"):
        with pytest.raises(SettingsError, match="HEADRACE_ADMIN_KEY") as refused:
            Keyring(keys, secret, clock)
        assert secret not in str(refused.value)
    Keyring(keys, "a b", clock).check("a b")


@pytest.mark.parametrize("secret", ["\ud800", "\0", "' OR 1=1 --", "ключ"])
def test_any_text_is_at_worst_an_unknown_key(keyring: Keyring, secret: str):
    with pytest.raises(InvalidKey):
        keyring.check(secret)


def test_an_over_long_secret_is_refused_without_asking_the_database(engine: Engine, keyring: Keyring):
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE keys"))
    with pytest.raises(Unavailable):
        keyring.check("x" * 512)
    with pytest.raises(InvalidKey):
        keyring.check("x" * 513)
    assert keyring.cached("x" * 513) is None


def test_a_database_that_fails_makes_a_request_worth_retrying(
    engine: Engine, keys: Keys, keyring: Keyring, clock: Clock
):
    _, secret = keys.create("shop", "live", "flux", None, clock())
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE keys RENAME TO away"))
    with pytest.raises(Unavailable) as failed:
        keyring.check(secret)
    assert failed.value.retry_can_help
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO keys"))
    assert keyring.check(secret)


def test_a_key_that_worked_goes_on_while_the_database_is_away_but_not_for_ever(
    engine: Engine, keys: Keys, clock: Clock
):
    keyring = Keyring(keys, "", clock, known_for_ms=10_000)
    key, secret = keys.create("shop", "live", "flux", None, clock())
    _, unseen = keys.create("shop", "live", "flux", None, clock())
    _, expiring = keys.create("shop", "live", "flux", None, clock(), clock() + 2000)
    keyring.check(secret)
    keyring.check(expiring)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE keys RENAME TO aside"))
    for _ in range(9):
        clock.now_ms += 1000
        assert keyring.check(secret) == key
        assert keyring.cached(secret) == key, "so that not every request asks in vain"
    for other in (unseen, expiring):
        with pytest.raises(Unavailable):
            keyring.check(other)
    clock.now_ms += 1000
    with pytest.raises(Unavailable):
        keyring.check(secret)
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE aside RENAME TO keys"))
    assert keyring.check(secret) == key
    keys.revoke(key.id, clock())
    clock.now_ms += 500
    with pytest.raises(InvalidKey):
        keyring.check(secret)
