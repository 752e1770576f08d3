"""Keys are made, found, listed and revoked, and no secret is ever kept."""

import re
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from headrace.control.api_keys import Keys
from headrace.control.database import open_database
from headrace.model.errors import InvalidRequest, NotFound
from headrace.model.event import Mode, Tenant
from headrace.model.keys import SCOPES, STYLES, Scope, Style, parse_scopes
from headrace.ports.control import ControlFailed

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("style", "mode", "start", "scopes"),
    [
        ("flux", "live", "sk_live_", {"ingest", "query"}),
        ("flux", "test", "sk_test_", {"ingest", "query"}),
        ("bricqs", "live", "bq_live_", {"ingest"}),
        ("bricqs", "test", "bq_test_", {"ingest"}),
        ("solute", "live", "sol_live_", {"ingest"}),
        ("solute", "test", "sol_test_", {"ingest"}),
        ("admin", "live", "adm_live_", {"ingest", "query", "admin"}),
        ("admin", "test", "adm_test_", {"ingest", "query", "admin"}),
    ],
)
def test_a_key_looks_like_its_style_and_may_do_what_its_style_does(
    keys: Keys, style: Style, mode: Mode, start: str, scopes: set[Scope]
):
    key, secret = keys.create("shop", mode, style, None, NOW_MS)
    assert re.fullmatch(re.escape(start) + r"[A-Za-z0-9_-]{32,}", secret)
    assert (key.tenant, key.style, key.scopes) == (Tenant("shop", mode), style, scopes)
    assert (key.created_at_ms, key.expires_at_ms, key.revoked_at_ms) == (NOW_MS, None, None)


def test_the_scopes_given_replace_those_of_the_style(keys: Keys):
    key, secret = keys.create("shop", "live", "flux", {"admin"}, NOW_MS)
    assert key.scopes == {"admin"}
    assert keys.find(secret) == key


def test_no_two_secrets_are_the_same(keys: Keys):
    assert len({keys.create("shop", "live", "flux", None, NOW_MS)[1] for _ in range(50)}) == 50


def test_only_a_hash_of_the_secret_is_on_disk(engine: Engine, database: Path):
    key, secret = Keys(engine).create("shop", "live", "flux", None, NOW_MS)
    while_open = b"".join(file.read_bytes() for file in database.parent.iterdir())
    engine.dispose()
    after_close = b"".join(file.read_bytes() for file in database.parent.iterdir())
    for files in (while_open, after_close):
        assert key.prefix.encode() in files
        assert secret.encode() not in files
        assert secret.removeprefix(key.prefix).encode() not in files


def test_the_prefix_shows_too_little_of_a_secret_to_guess_the_rest(keys: Keys):
    for style in STYLES:
        key, secret = keys.create("shop", "live", style, None, NOW_MS)
        assert secret.startswith(key.prefix)
        assert len(secret) - len(key.prefix) >= 32
        assert secret not in repr(key)


def test_a_secret_finds_its_key_and_nothing_else_does(keys: Keys):
    key, secret = keys.create("shop", "live", "flux", None, NOW_MS)
    keys.create("shop", "live", "flux", None, NOW_MS)
    assert keys.find(secret) == key
    for wrong in (
        "",
        key.id,
        key.prefix,
        secret[:-1],
        f"{secret}x",
        secret.swapcase(),
        "%",
        "\ud800",
        "\0",
    ):
        assert keys.find(wrong) is None


def test_every_key_is_listed_oldest_first_also_revoked_and_expired_ones(keys: Keys):
    second, _ = keys.create("b", "test", "solute", None, NOW_MS + 1)
    first, _ = keys.create("a", "live", "flux", None, NOW_MS, NOW_MS + 1)
    revoked = keys.revoke(second.id, NOW_MS + 2)
    assert keys.list() == (first, revoked)


@pytest.mark.parametrize("named_by", ["id", "prefix", "cut prefix", "secret"])
def test_a_key_is_revoked_by_its_id_its_prefix_or_itself(keys: Keys, named_by: str):
    key, secret = keys.create("shop", "live", "flux", None, NOW_MS)
    other, other_secret = keys.create("shop", "live", "bricqs", None, NOW_MS)
    names = {"id": key.id, "prefix": key.prefix, "cut prefix": key.prefix[:-1], "secret": secret}
    revoked = keys.revoke(names[named_by], NOW_MS + 5)
    assert (revoked.id, revoked.revoked_at_ms) == (key.id, NOW_MS + 5)
    assert keys.find(secret) == revoked
    assert keys.find(other_secret) == other


def test_revoking_twice_keeps_the_first_time(keys: Keys):
    key, _ = keys.create("shop", "live", "flux", None, NOW_MS)
    revoked = keys.revoke(key.id, NOW_MS + 1)
    assert keys.revoke(key.id, NOW_MS + 2) == revoked
    assert keys.revoke(key.prefix, NOW_MS + 3) == revoked


@pytest.mark.parametrize("named", ["nothing", "key_", "sk_live_%", "sk_live_??????", "\ud800", "é", "\0"])
def test_revoking_what_no_key_is_named_says_where_to_look(keys: Keys, named: str):
    keys.create("shop", "live", "flux", None, NOW_MS)
    with pytest.raises(NotFound, match="headrace keys list"):
        keys.revoke(named, NOW_MS)
    assert keys.list()[0].revoked_at_ms is None


@pytest.mark.parametrize("named", ["", "s", "sk_", "sk_live_"])
def test_a_prefix_that_shows_only_a_style_revokes_nothing(keys: Keys, named: str):
    keys.create("shop", "live", "flux", None, NOW_MS)
    with pytest.raises(InvalidRequest, match="give an id"):
        keys.revoke(named, NOW_MS)
    assert keys.list()[0].revoked_at_ms is None


def test_a_prefix_of_two_keys_revokes_neither_and_names_both(engine: Engine, keys: Keys):
    pair = [keys.create("shop", "live", "flux", None, NOW_MS)[0] for _ in range(2)]
    with engine.begin() as connection:
        connection.execute(text("UPDATE keys SET prefix = 'sk_live_same'"))
    with pytest.raises(InvalidRequest) as refused:
        keys.revoke("sk_live_s", NOW_MS)
    assert all(key.id in refused.value.message for key in pair)
    assert {key.revoked_at_ms for key in keys.list()} == {None}
    keys.revoke(pair[0].id, NOW_MS)
    assert keys.revoke("sk_live_same", NOW_MS).id == pair[1].id


def test_a_prefix_is_told_apart_by_upper_and_lower_case(engine: Engine, keys: Keys):
    pair = [keys.create("shop", "live", "flux", None, NOW_MS)[0] for _ in range(2)]
    with engine.begin() as connection:
        for key, prefix in zip(pair, ("sk_live_aaaaaa", "sk_live_AAAAAA"), strict=True):
            connection.execute(
                text("UPDATE keys SET prefix = :prefix WHERE id = :id"),
                {"prefix": prefix, "id": key.id},
            )
    assert keys.revoke("sk_live_A", NOW_MS).id == pair[1].id


@pytest.mark.parametrize("project", ["a", "default", "my-shop_2", "x" * 100])
def test_a_key_in_a_new_project_makes_the_project_once(engine: Engine, keys: Keys, project: str):
    keys.create(project, "live", "flux", None, NOW_MS)
    keys.create(project, "test", "flux", None, NOW_MS + 1)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT * FROM projects")).all() == [(project, NOW_MS)]


@pytest.mark.parametrize("project", ["", "Shop", "my shop", "x" * 101, "shop\n", "größe", "a/b", "a.b", "١"])
def test_a_project_name_that_cannot_be_is_refused_and_nothing_is_made(keys: Keys, project: str):
    with pytest.raises(InvalidRequest, match="1 to 100 characters"):
        keys.create(project, "live", "flux", None, NOW_MS)
    assert keys.list() == ()


@pytest.mark.parametrize("expires_at_ms", [NOW_MS, NOW_MS - 1, -1, 10**16])
def test_an_expiry_that_is_not_in_the_future_is_refused(keys: Keys, expires_at_ms: int):
    with pytest.raises(InvalidRequest, match="future"):
        keys.create("shop", "live", "flux", None, NOW_MS, expires_at_ms)


def test_a_key_without_any_scope_is_refused(keys: Keys):
    with pytest.raises(InvalidRequest, match="ingest, query, admin"):
        keys.create("shop", "live", "flux", frozenset(), NOW_MS)


def test_a_key_works_until_the_millisecond_it_expires(keys: Keys):
    key, _ = keys.create("shop", "live", "flux", None, NOW_MS, NOW_MS + 10)
    assert key.works_at(NOW_MS + 9)
    assert not key.works_at(NOW_MS + 10)


def test_scopes_are_read_in_any_order_with_or_without_blanks():
    assert parse_scopes("admin, ingest") == {"admin", "ingest"}
    assert parse_scopes("ingest,query,admin") == set(SCOPES)


@pytest.mark.parametrize("scopes", ["", "all", "ingest,", "ingest query", "Ingest"])
def test_an_unknown_scope_is_refused_with_the_known_ones(scopes: str):
    with pytest.raises(InvalidRequest, match="ingest,query,admin"):
        parse_scopes(scopes)


def test_a_database_that_fails_is_control_failed(database: Path):
    engine = open_database(database)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE keys"))
    broken = Keys(engine)
    for ask in (
        lambda: broken.create("shop", "live", "flux", None, NOW_MS),
        broken.list,
        lambda: broken.find("x"),
        lambda: broken.revoke("x", NOW_MS),
    ):
        with pytest.raises(ControlFailed, match="no such table"):
            ask()
    engine.dispose()
